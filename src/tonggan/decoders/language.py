"""The language head: whatever the fused Tokens hold is the prefix of a causal language model, which writes the text.

The model is trained from scratch at the width of the Tokens, or is a pretrained one that stays as it is, learns through
low-rank adapters, or learns in full. The text's tokenizer is the task's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.decoders.answers import PAD, TARGET, Answer, Writing
from tonggan.decoders.base import Context, Head, HeadConfig
from tonggan.decoders.ctc import CTCHead, CTCHeadConfig, target_ids
from tonggan.errors import ConfigError
from tonggan.language.causal_transformer import ROUND, CausalTransformer, CausalTransformerConfig
from tonggan.language.chat import ChatTemplate, Message, TextPart
from tonggan.language.decoding import beam_search, greedy
from tonggan.language.low_rank import add_adapters, merge_adapters
from tonggan.language.pretrained import load_pretrained
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.torch_engine import TorchEngine
from tonggan.layers.batches import rows_of_like_length
from tonggan.layers.precision import multiplies_in_bf16
from tonggan.tokens import Arrays, Prediction, Tokens

_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65_536}  # of prefixes that are read together; more are no faster
_ROOM = 4_096  # tokens of prefix and text together whose places a decoder from scratch can distinguish


class LanguageHeadConfig(HeadConfig):
    """A causal decoder in the layout of Llama."""

    gives: ClassVar[type[Answer]] = Writing
    is_default: ClassVar[bool] = True
    kind: Literal["language"] = "language"
    base: str | None = None
    """Pretrained model: 'smollm2', a folder in Hugging Face's layout or a GGUF file; null trains one from scratch."""
    train: Literal["frozen", "lora", "full"] = "lora"
    """What of the base model is trained: nothing (only what feeds it), low-rank adapters, or everything."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapters of every linear map (LoRA, Hu et al. 2021); alpha is twice the rank."""
    template: Literal["chat", "none"] = "chat"
    """What surrounds the prefix of a pretrained model: its chat template, or only a line break after it, which costs
    less when no conversation is needed."""
    num_layers: int = Field(default=4, ge=1)
    """Blocks of a decoder trained from scratch."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of a decoder trained from scratch; the width must be a multiple of them."""
    mlp_ratio: float = Field(default=3.0, gt=0)
    """Hidden width of a block's gated perceptron from scratch, as a multiple of the width."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability in training: of a block's output from scratch, of an adapter's input otherwise."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread evenly over all tokens (Szegedy et al. 2016)."""
    ctc_weight: float = Field(default=0.0, ge=0)
    """Weight of the loss of a CTC head on the prefix, which teaches the order of speech (Watanabe et al. 2017); 0 for
    none."""
    num_beams: int = Field(default=1, ge=1)
    """Width of beam search when it writes; 1 always takes the most likely token."""
    length_penalty: float = 1.0
    """Beams are compared by their log-probability divided by their length to this power."""

    def build(self, dim: int, *, answer: Writing, encoders: Mapping[str, nn.Module] | None = None) -> LanguageHead:
        """The head with new random weights where it has no base.

        Raises:
            ConfigError: the base is of another width than ``dim``.
        """
        del encoders
        if self.base is None:
            assert answer.start is not None, "a decoder from scratch wants a token that opens a text"
            return LanguageHead(self, self._scratch(dim, answer.vocab_size), answer=answer, closing=[answer.start])
        pretrained = load_pretrained(self.base)
        if pretrained.config.hidden_size != dim:
            raise ConfigError(
                "model.dim",
                got=str(dim),
                expected=f"{pretrained.config.hidden_size}, the width of {self.base}",
                remedy=f"Set model.dim={pretrained.config.hidden_size}, or leave it out",
            )
        # What stays as it is need not be converted at each use where bf16 is what it is computed in.
        is_half = self.train != "full" and multiplies_in_bf16(torch.device("cpu"))
        model = pretrained.build(dtype=torch.bfloat16 if is_half else torch.float32)
        if self.train != "full":
            model.requires_grad_(False)
        if self.train == "lora":
            add_adapters(model, rank=self.lora_rank, dropout=self.dropout)
        opening, closing = _frame(pretrained.tokenizer, template=self.template)
        return LanguageHead(self, model, answer=answer, opening=opening, closing=closing)

    def _scratch(self, dim: int, vocab_size: int) -> CausalTransformer:
        unit = 2 * self.num_heads
        if dim % unit:
            raise ConfigError(
                "model.head",
                got=f"{self.num_heads} heads at width {dim}",
                expected=f"a width that is a multiple of {unit}",
                remedy="Change model.dim or model.head.num_heads",
            )
        return CausalTransformerConfig(
            vocab_size=vocab_size,
            hidden_size=dim,
            intermediate_size=32 * max(1, round(dim * self.mlp_ratio / 32)),
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_heads,
            max_position_embeddings=_ROOM,
            dropout=self.dropout,
        ).build()


class LanguageHead(Head):
    """Tokens ``[B, L, dim]`` to ``ids`` int64 ``[B, T]``, ``PAD`` behind the end of a text.

    Args:
        config: how it learns and writes.
        model: the causal language model.
        answer: over which ids, and how long, it writes.
        opening: ids in front of the prefix.
        closing: ids between the prefix and the text, at least one.
    """

    def __init__(
        self,
        config: LanguageHeadConfig,
        model: CausalTransformer,
        *,
        answer: Writing,
        opening: Sequence[int] = (),
        closing: Sequence[int],
    ) -> None:
        super().__init__()
        self.config, self.model, self.answer = config, model, answer
        self.opening, self.closing = list(opening), list(closing)
        self.alignment: CTCHead | None = None
        if config.ctc_weight:
            self.alignment = CTCHeadConfig().build(model.config.hidden_size, answer=answer)

    def prefix(self, fused: Tokens) -> Tokens:
        """All that the model reads before it writes, real tokens first; never empty."""
        frame = [self._constant(ids, fused) for ids in (self.opening, self.closing)]
        return Tokens.concat([frame[0], fused, frame[1]]).packed()

    def _constant(self, ids: Sequence[int], like: Tokens) -> Tokens:
        """The embeddings of ``ids`` in every row."""
        embedded = self.model.embed(torch.tensor(ids, dtype=torch.int64, device=like.values.device))
        values = embedded.to(like.values.dtype).expand(len(like), -1, -1)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))

    def forward(self, context: Context, targets: Mapping[str, Arrays] | None = None) -> Prediction:
        """The texts that it writes, greedily or by beam search.

        With ``targets`` also ``nll`` and ``num_tokens`` ``[B]``: the negative log-likelihood of each row's own text,
        summed, and its length; ``loss`` is their ratio.
        """
        found: dict[str, Any] = {}
        with self._precision(context.tokens):
            if targets:
                found["nll"], found["num_tokens"] = self.likelihood(context.tokens, target_ids(targets[TARGET]))
                found["loss"] = found["nll"] / found["num_tokens"].clamp(min=1)
            with torch.no_grad():
                found["ids"] = self._write(context.tokens)
        return Prediction(found)

    def losses(self, context: Context, targets: Mapping[str, Arrays]) -> dict[str, Tensor]:
        """``loss``, the mean of the batch's target tokens, and the weighted ``ctc`` of a head beside it."""
        target = target_ids(targets[TARGET])
        with self._precision(context.tokens):
            total, num_tokens = self.likelihood(context.tokens, target)
        count = num_tokens.sum().clamp(min=1)
        losses = {"loss": total.sum() / count}
        if self.alignment is not None:
            losses["ctc"] = self.config.ctc_weight * self.alignment.likelihood(context.tokens, target)[0].sum() / count
        return losses

    def weight(self, targets: Mapping[str, Arrays]) -> float:
        """The target tokens."""
        return float(targets[TARGET].mask.sum())

    def _precision(self, fused: Tokens) -> AbstractContextManager[object]:
        """A pretrained model that is kept in bf16 computes in it; else the caller's choice stands."""
        if self.model.model.embed_tokens.weight.dtype == torch.bfloat16:
            return torch.autocast(fused.values.device.type, torch.bfloat16)
        return nullcontext()

    def likelihood(self, fused: Tokens, target: Tensor) -> tuple[Tensor, Tensor]:
        """``[B]`` each: of each row the negative log-likelihood of its target, summed, and the target's length.

        Only the text's own tokens count: what the prefix holds is never predicted (teacher forcing, Williams & Zipser
        1989).

        Args:
            fused: the prefix.
            target: int64 ``[B, T]``, each row ended and then padded with ``PAD``.
        """
        context, real = self.prefix(fused), target != PAD
        written = self.model.embed(target.clamp(min=0)[:, :-1]).to(context.values.dtype)
        whole = Tokens.concat([context, Tokens(written, real[:, :-1] & real[:, 1:])]).packed()
        hidden = self.model(whole.values, mask=whole.mask)
        # The last token of the context predicts the first of the text.
        places = context.mask.sum(dim=1, keepdim=True) - 1 + torch.arange(target.shape[1], device=target.device)
        rows = torch.arange(len(target), device=target.device)[:, None].expand_as(target)[real]
        count = len(rows)
        chosen = F.pad(hidden[rows, places[real]], (0, 0, 0, -count % ROUND))
        logits = self.model.logits(chosen)[:count].float()
        smoothing = self.config.label_smoothing if self.training else 0.0
        each = F.cross_entropy(logits, target[real], reduction="none", label_smoothing=smoothing)
        total = torch.zeros(len(target), device=each.device).index_add(0, rows, each)
        return total, real.sum(dim=1).to(total.dtype)

    def merged(self) -> CausalTransformer:
        """The language model with its adapters, if it has any, merged into its weights; else the model itself."""
        if self.config.base is None or self.config.train != "lora":
            return self.model
        return merge_adapters(self.model)

    def _write(self, fused: Tokens) -> Tensor:
        """int64 ``[B, T]``."""
        context, device = self.prefix(fused), fused.values.device
        output = torch.full((len(fused), self.answer.max_tokens), PAD, device=device)
        lengths = context.mask.sum(dim=1).tolist()
        for rows in rows_of_like_length(lengths, max_tokens=_TOKENS_AT_ONCE[device.type]):
            values, mask = context.values[rows, : lengths[rows[0]]], context.mask[rows, : lengths[rows[0]]]
            written = self._continue(values, mask)
            output[rows, : written.shape[1]] = written
        return output

    def _continue(self, values: Tensor, mask: Tensor) -> Tensor:
        """int64 ``[B, L]``, L at most T."""
        ends, max_tokens = self.answer.ends, self.answer.max_tokens
        engine = TorchEngine(self.model)
        if self.config.num_beams > 1:
            beams, penalty = self.config.num_beams, self.config.length_penalty
            return beam_search(
                engine, values, mask, ends=ends, max_tokens=max_tokens, num_beams=beams, length_penalty=penalty
            )
        session = engine.session(len(values), capacity=mask.shape[1] + max_tokens)
        return greedy(session, values, mask, ends=ends, max_tokens=max_tokens)


def _frame(tokenizer: Tokenizer, *, template: Literal["chat", "none"]) -> list[list[int]]:
    """Ids before and after the prefix: what the chat template sets around what a user says in a first turn."""
    if template == "none":
        return [[] if tokenizer.start is None else [tokenizer.start], tokenizer.encode("\n")]
    pieces = ChatTemplate.of(tokenizer).split([Message("user", (TextPart("?"),))])
    return [tokenizer.encode(piece, special=True) for piece in pieces if isinstance(piece, str)]
