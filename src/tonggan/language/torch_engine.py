"""The engine in plain PyTorch: any device and dtype, and the reference for what is right.

It wraps a live model: weights that train, or that carry adapters, decode as they stand.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from tonggan.language.causal_transformer import CausalTransformer
from tonggan.language.engine import Engine, Session
from tonggan.language.engine_config import EngineConfig, architecture_obstacle
from tonggan.language.kv_cache import Extension, KeyValueCache
from tonggan.language.model import LanguageModel
from tonggan.language.pretrained import StoredModel
from tonggan.language.text_model import Capability


class TorchConfig(EngineConfig):
    """Weights in full, on a GPU in bfloat16 where there is one, in float32 on the CPU."""

    capabilities: ClassVar[frozenset[Capability]] = LanguageModel.capabilities
    kind: Literal["torch"] = "torch"
    max_length: int | None = Field(default=None, ge=1)

    @property
    def preference(self) -> int:
        return 2 if torch.cuda.is_available() else 0

    def obstacle(self, model: StoredModel | CausalTransformer) -> str | None:
        return architecture_obstacle(model)

    def open(self, model: StoredModel) -> LanguageModel:
        pretrained = model.pretrained
        tokenizer = pretrained.tokenizer
        pretrained.limit(self.max_length)
        on_gpu = torch.cuda.is_available()
        weights = pretrained.build(dtype=torch.bfloat16 if on_gpu else torch.float32)
        return LanguageModel(self.wrap(weights.to("cuda") if on_gpu else weights), tokenizer, name=pretrained.name)

    def wrap(self, model: CausalTransformer) -> TorchEngine:
        return TorchEngine(model.eval().requires_grad_(False))


class TorchEngine(Engine):
    """A model on any device and in any dtype."""

    name: ClassVar[str] = "torch"

    def __init__(self, model: CausalTransformer) -> None:
        self.model = model
        self.vocab_size = model.config.vocab_size
        self.dim = model.config.hidden_size
        self.max_length = model.config.max_position_embeddings

    @torch.no_grad()
    def embed(self, ids: Tensor) -> Tensor:
        return self.model.embed(ids.to(self._weight.device))

    @torch.no_grad()
    def hidden(self, values: Tensor, *, mask: Tensor) -> Tensor:
        return self.model.forward(self._own(values), mask=mask.to(self._weight.device)).float()

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.logits(self._own(hidden)).float()

    def session(self, num_rows: int, *, capacity: int) -> TorchSession:
        return TorchSession(self, num_rows, capacity=capacity)

    @property
    def _weight(self) -> Tensor:
        return self.model.model.embed_tokens.weight

    def _own(self, values: Tensor) -> Tensor:
        return values.to(self._weight.device, self._weight.dtype)


class TorchSession(Session):
    """A ``KeyValueCache`` and the model that fills it."""

    def __init__(self, engine: TorchEngine, num_rows: int, *, capacity: int) -> None:
        self.engine = engine
        self.num_rows = num_rows
        self.capacity = capacity
        weight = engine._weight
        kind = weight.device.type
        # Under autocast, projections come in its format: keeping them so spares a conversion of all keys at each step.
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        self._cache = KeyValueCache(engine.model.config, num_rows, capacity=capacity, device=weight.device, dtype=dtype)
        self.lengths = self._cache.lengths

    @torch.no_grad()
    def prefill(self, values: Tensor, *, mask: Tensor, rows: Tensor) -> Tensor:
        counts = mask.sum(dim=1).cpu()
        hidden = self._append(values, rows=rows, counts=counts)
        last = hidden[torch.arange(len(rows)), counts - 1]
        return self.engine.logits(last)

    @torch.no_grad()
    def step(self, ids: Tensor, *, rows: Tensor) -> Tensor:
        counts = torch.full((len(rows),), ids.shape[1])
        return self.engine.logits(self._append(self.engine.embed(ids), rows=rows, counts=counts))

    def _append(self, values: Tensor, *, rows: Tensor, counts: Tensor) -> Tensor:
        extension = Extension(self._cache, rows=rows.cpu(), counts=counts, length=values.shape[1])
        return self.engine.model.run(self.engine._own(values), extension)

    def truncate(self, lengths: Tensor, *, rows: Tensor) -> None:
        self._cache.truncate(lengths.cpu(), rows=rows.cpu())

    def copy(self, sources: Tensor, *, rows: Tensor) -> None:
        self._cache.copy(sources.cpu(), rows=rows.cpu())
