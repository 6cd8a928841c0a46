"""Texts to vectors whose inner product is their likeness: a BERT encoder, the mean of its tokens, unit length.

It keeps no vectors and ranks nothing. The recipe is that of sentence-transformers (Reimers & Gurevych 2019).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tonggan.encoders.bert import Bert
from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_folder
from tonggan.layers.batches import rows_of_like_length
from tonggan.layers.cores import map_on_cores
from tonggan.layers.memory import release_memory
from tonggan.layers.precision import multiplies_in_bf16
from tonggan.progress import Progress
from tonggan.tokens import Arrays, Tokens
from tonggan.weights.text import open_text_weights
from tonggan.weights.text_folder import TextFolder

if TYPE_CHECKING:
    import tokenizers

Precision = Literal["fp32", "bf16", "int8"]

_CHINESE_TOKENS = 2_000  # English vocabularies hold some hundred characters that occur in English texts
_TEXTS_AT_ONCE = 4096  # whose tokens are kept at a time, and among which texts of like length are found
_TOKENS_AT_ONCE = 1024  # what a layer makes of so many stays in the processor's caches


class TextEmbedder:
    """An encoder with its tokenizer.

    Args:
        encoder: the weights, float32, which do not change from now on.
        tokenizer: writes what opens and closes a text around it; cuts after ``max_tokens``.
        max_tokens: of a text, what opens and closes it and ``prompt`` included; the rest is not read.
        prompt: stands before every text, as the encoder was trained to.
        passage_prompt: stands before what a question is to find, instead of ``prompt``; by default the same.
        temperature: that cosines were divided by in training: the lower it is, the more a small difference says.
        precision: of the arithmetic; int8 is for CPUs alone.
        name: what the embedder is called.

    Attributes:
        dim: width of a vector.
    """

    def __init__(
        self,
        encoder: Bert,
        tokenizer: tokenizers.Tokenizer,
        *,
        max_tokens: int,
        prompt: str = "",
        passage_prompt: str | None = None,
        temperature: float = 0.05,
        precision: Precision = "fp32",
        name: str = "",
    ) -> None:
        self.name = name
        self._encoder: Bert | None = encoder.eval()
        self.dim = encoder.dim
        self._device = encoder.device
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self.prompt = prompt
        self.passage_prompt = prompt if passage_prompt is None else passage_prompt
        self.temperature = temperature
        self.precision = precision

    @classmethod
    def load(cls, name: str | Path, *, precision: Literal["auto", "fp32", "bf16", "int8"] = "auto") -> TextEmbedder:
        """The embedder that ``name`` means.

        Args:
            name: ``minilm``, ``e5``, or a folder as sentence-transformers or ``save`` writes it.
            precision: of the arithmetic; auto is bf16 where the CPU or GPU multiplies in it, on other CPUs int8 where
                CTranslate2 is installed, else fp32. Against fp32, vectors of MiniLM have a cosine of 0.9999 in bf16; in
                int8 of 0.99 and more, and of 0.97 for an empty text. In fp32 alone, a text's vector is the same to
                1e-5 whatever texts are beside it.

        Raises:
            ConfigError: there is no such folder, or its model is none with BERT's architecture and mean pooling.
            DataError: its files are missing or damaged.
            MissingExtraError: a name or int8 is asked for and its package is not installed.
        """
        weights = open_text_weights(name)
        if isinstance(weights, TextFolder):
            weights.check_mean_pooling()
        device = torch.device("cuda" if torch.cuda.is_available() and precision != "int8" else "cpu")
        if precision == "auto":
            precision = _fastest(device)
        encoder = Bert.read(weights).to(device)
        return cls(
            encoder,
            weights.tokenizer,
            max_tokens=min(weights.max_tokens or encoder.config.max_tokens, encoder.config.max_tokens),
            prompt=weights.prompt,
            passage_prompt=weights.passage_prompt,
            temperature=weights.temperature,
            precision=precision,
            name=weights.name,
        )

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
            _ = self.identity, self._read  # made of those weights
            self._encoder = None
            release_memory()

    @property
    def passage_identity(self) -> str:
        """As ``identity``, of vectors of passages."""
        return self.identity if self.passage_prompt == self.prompt else f"{self.identity} {self.passage_prompt}"

    @cached_property
    def identity(self) -> str:
        """A name of all that vectors depend on: they can be compared only with vectors of the same identity."""
        settings = f"{self.max_tokens} {self.precision} {self.prompt}"
        digest = hashlib.sha256(f"{settings} {self.tokenizer.to_str()}".encode())
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

    def embed(
        self, texts: Sequence[str], *, as_passages: bool = False, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """``[N, D]`` vectors of length 1. An empty text has one too; a long one is cut after ``max_tokens``.

        Args:
            texts: questions, or what is compared with its like.
            as_passages: they are what questions are to find.
            progress: told how far it is.
        """
        prompt = self.passage_prompt if as_passages else self.prompt
        progress = progress or Progress()
        result = np.empty((len(texts), self.dim), dtype=np.float32)
        done = 0
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            ids = self._ids(texts[first : first + _TEXTS_AT_ONCE], prompt=prompt)
            for rows, vectors in self._unit_vectors(ids, of=Tokens.mean):
                result[[first + row for row in rows]] = vectors
                done += len(rows)
                progress.update("embed", done=done, total=len(texts))
        return result

    def embed_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text ``[T, D]``: the vectors of its tokens, each of length 1, without what opens and closes it."""
        ids = self._ids(texts, prompt=self.prompt)
        before = 1 + len(self.tokenizer.encode(self.prompt.rstrip(), add_special_tokens=False).ids)
        result: list[NDArray[np.float32]] = [np.empty((0, self.dim), dtype=np.float32)] * len(ids)
        for rows, vectors in self._unit_vectors(ids, of=lambda tokens: tokens.values):
            for row, found in zip(rows, vectors, strict=True):
                result[row] = found[before : len(ids[row]) - 1]
        return result

    def words_of(self, text: str) -> list[str]:
        """The tokens whose vectors ``embed_tokens`` gives of ``text``, as they are written in it."""
        encoding = self.tokenizer.encode(self.prompt + text)
        before = 1 + len(self.tokenizer.encode(self.prompt.rstrip(), add_special_tokens=False).ids)
        places = encoding.offsets[before : len(encoding.ids) - 1]
        return [(self.prompt + text)[first:last].strip() for first, last in places]

    def _ids(self, texts: Sequence[str], *, prompt: str) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast([prompt + text for text in texts])]

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
            from tonggan.encoders.int8_bert import Int8Bert

            return Int8Bert(self.encoder)
        if self.precision == "fp32":
            return self.encoder
        shared = {id(weight): weight for weight in self.encoder.parameters() if not weight.is_floating_point()}
        return deepcopy(self.encoder, shared).bfloat16()

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

        files: dict[str, Any] = {
            "config.json": self.encoder.config.to_hugging_face(),
            "sentence_bert_config.json": {"max_seq_length": self.max_tokens, "do_lower_case": False},
            "1_Pooling/config.json": {"word_embedding_dimension": self.dim, "pooling_mode_mean_tokens": True},
            "modules.json": [
                {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for index, (path, kind) in enumerate(
                    [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
                )
            ],
        }
        files["config_sentence_transformers.json"] = {
            "prompts": {"default": self.prompt, "passage": self.passage_prompt},
            "default_prompt_name": "default",
            "temperature": self.temperature,
        }
        weights = {name: weight.cpu() for name, weight in self.encoder.plain_state().items()}
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
