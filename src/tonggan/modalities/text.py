"""Texts: strings to token ids by a byte-level BPE that is trained on the training part, Chinese and English alike.

It downloads no vocabulary and knows no words of its own; any Unicode text can be written in its tokens. Where whole
words are wanted instead, the most frequent ones of the training part are the vocabulary.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, TypeAdapter, model_validator

from tonggan.cells import cell_text
from tonggan.errors import MissingExtraError
from tonggan.modalities.base import ColumnConfig, Form, GraphInput, InputConfig, Limit, Modality, up_to, with_lengths
from tonggan.modalities.movement import Movement
from tonggan.tokens import Arrays
from tonggan.weights.text import open_text_weights
from tonggan.wording import Words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD_ID = 0
MASK_ID = 1
SPECIAL_TOKENS = ["<pad>", "<mask>"]
# Characters that are tokenized for each token kept: a text of 10 MB then costs no more than one that fits.
_CHARACTERS_PER_TOKEN = 16
# Characters that the vocabulary is learned from; more would cost time and memory and change it little.
_FIT_CHARACTERS = 20_000_000
_TEXTS_AT_ONCE = 4_096
# Of a text, however few words they are; a model reads some thousand tokens at most.
_MAX_CHARACTERS = 100_000
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WIDE_PER_TOKEN = 3
# A run of Chinese, which has no spaces, another word, or a mark.
_UNIT = re.compile("([\u3400-\u9fff]+)|[^\\W\u3400-\u9fff]+|[^\\w\\s]")


class TextConfig(ColumnConfig, InputConfig):
    """A column of texts."""

    words: ClassVar[Words] = Words("text", "文本")
    form: ClassVar[Form] = "text"
    kind: Literal["text"] = "text"
    vocab_size: int = Field(default=8_000, ge=300)
    """Maximum size of the vocabulary, in tokens; a small training part yields fewer."""
    units: Literal["pieces", "words"] = "pieces"
    """What a token is: a word or a piece of one (byte-pair encoding), or always a word. Chinese is segmented by jieba
    if it is installed, otherwise into single characters. Words unseen in training become <mask>."""
    max_tokens: int = Field(default=128, ge=1, le=8_192)
    """Longer texts are cut off here."""
    lowercase: bool = True
    """Whether to convert texts to lower case."""
    min_frequency: int = Field(default=2, ge=1)
    """How often a pair of tokens, or a word, must occur to become a token of its own."""
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """In training, the probability that a token is replaced by <mask>."""
    hidden_words: float = Field(default=0.1, ge=0, lt=1)
    """In training, the probability that some or all tokens of a text are replaced by <mask>, which also replaces tokens
    unseen in training: the model then has low confidence in a text of unknown words. 0 for neither."""
    language: str | None = None
    """Use the tokenizer of this pretrained language model, which will read the text, instead of a vocabulary fitted to
    the training part; the settings of the vocabulary then have no effect."""
    weights: str | None = None
    """Likewise use the tokenizer of these pretrained weights of a text encoder; the encoder text_pretrained sets it."""

    @model_validator(mode="after")
    def _one_vocabulary(self) -> TextConfig:
        if self.language is not None and self.weights is not None:
            raise ValueError("a text is read in one vocabulary: leave language or weights out")
        if self.units == "words" and (self.language is not None or self.weights is not None):
            raise ValueError("a pretrained vocabulary is not one of words: leave units, language and weights out")
        if self.word_dropout and (self.language is not None or self.weights is not None):
            raise ValueError("a pretrained vocabulary has no <mask>: leave word_dropout, language and weights out")
        return self

    def build(self) -> Text:
        """The modality, to be fitted."""
        return Text(self)

    @property
    def limit(self) -> Limit:
        most = Words(f"{self.max_tokens} tokens", f"{self.max_tokens} 个词元")
        return Limit(Words("texts", "段文本"), most, f"max_tokens={min(4 * self.max_tokens, 8_192)}")

    def exceeds(self, content: str) -> bool:
        """Whether a text surely has more tokens, before there is a tokenizer.

        A token is a word at the most, or some characters of Chinese, Japanese or Korean.
        """
        if len(content) <= self.max_tokens:
            return False
        wide = len(_WIDE.findall(content)) // _WIDE_PER_TOKEN
        return len(content) > _MAX_CHARACTERS or len(content.split()) + wide > self.max_tokens


class Text(Modality[TextConfig]):
    """Texts as int64 token ids ``[B, L]`` with a mask ``[B, L]``, real tokens first."""

    kind: ClassVar[str] = "text"
    essential: ClassVar[tuple[str, ...]] = ("language", "weights", "lowercase", "units")

    def __init__(self, config: TextConfig) -> None:
        super().__init__(config)
        self._tokenizer: Tokenizer | None = None
        self._unseen: list[int] = []
        self._words: Vocabulary | None = None
        self._given = _given_vocabulary(config)

    def learn(self, name: str, read: Callable[[str], Iterable[Any]]) -> None:
        """The vocabulary."""
        self.fit(read(name))

    def fit(self, texts: Iterable[str | None]) -> None:
        """Train the byte-level BPE (Sennrich et al. 2016, over bytes as in Radford et al. 2019) on ``texts``.

        They are streamed, and reading stops after twenty million characters. In the tokens of a pretrained model there
        is nothing to train.
        """
        if self._given is not None:
            return
        if self.config.units == "words":
            self._words = Vocabulary.fit(self._sample(texts), self.config)
            return
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        steps = [normalizers.NFKC(), normalizers.Lowercase()] if self.config.lowercase else [normalizers.NFKC()]
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=self.config.vocab_size,
            min_frequency=self.config.min_frequency,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        sample = list(self._sample(texts))
        tokenizer.train_from_iterator(sample, trainer)
        self._tokenizer = self._prepared(tokenizer)
        seen = set(range(len(SPECIAL_TOKENS)))
        for first in range(0, len(sample), _TEXTS_AT_ONCE):
            for ids in self._encode(sample[first : first + _TEXTS_AT_ONCE]):
                seen.update(ids)
        self._unseen = sorted(set(range(self.num_tokens)) - seen)

    def _sample(self, texts: Iterable[str | None]) -> Iterator[str]:
        remaining = _FIT_CHARACTERS
        for item in texts:
            text = self._cut(item)
            if text is not None:
                yield text
                remaining -= len(text)
            if remaining <= 0:
                return

    def _cut(self, item: object) -> str | None:
        """The part of a text that can matter, or None where there is none; an empty text is absent."""
        text = item if isinstance(item, str) else cell_text(item)
        if text is None:
            return None
        # Spaces in front are cut first, so that they cannot push the words out.
        return text.lstrip()[: self.config.max_tokens * _CHARACTERS_PER_TOKEN].rstrip() or None

    def _prepared(self, tokenizer: Tokenizer) -> Tokenizer:
        # A text may spell "<mask>" itself; it must be read as plain characters.
        tokenizer.encode_special_tokens = True
        tokenizer.enable_truncation(self.config.max_tokens)
        return tokenizer

    @property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer."""
        assert self._tokenizer is not None, "Text is used before fit"
        return self._tokenizer

    @property
    def num_tokens(self) -> int:
        """The size of the vocabulary, special tokens included."""
        if self._words is not None:
            return len(SPECIAL_TOKENS) + len(self._words.words)
        return int(self.tokenizer.get_vocab_size()) if self._given is None else self._given.size

    def collate(self, items: Sequence[str | None]) -> Arrays:
        """int64 ``[B, L]``, L the longest of the batch (1 when all are absent), padded with ``PAD_ID`` at the end."""
        texts = [self._cut(item) for item in items]
        encoded = iter(self._encode([text for text in texts if text is not None]))
        ids: list[list[int]] = [[] if text is None else next(encoded) for text in texts]
        lengths = np.array([len(row) for row in ids])
        values = np.full((len(ids), max(1, lengths.max())), PAD_ID, dtype=np.int64)
        for row, tokens in enumerate(ids):
            values[row, : len(tokens)] = tokens
        if self._unseen and self.config.hidden_words:
            values[np.isin(values, self._unseen)] = MASK_ID
        mask = np.arange(values.shape[1]) < lengths[:, None]
        whole = np.fromiter(map(_whole, items), dtype=object, count=len(items))
        return Arrays(torch.from_numpy(values), torch.from_numpy(mask), texts=whole)

    @property
    def vocabulary(self) -> Sequence[str]:
        """The words whose ids follow those of the special tokens, where tokens are words."""
        assert self._words is not None, "tokens are words, and Text is fitted"
        return self._words.words

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if self._words is not None:
            return [self._words.encode(text)[: self.config.max_tokens] for text in texts]
        if self._given is not None:
            return self._given.encode(texts)
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]

    def vary(self, arrays: Arrays, generator: torch.Generator, *, movement: Movement | None = None) -> Arrays:
        """Real tokens replaced by ``MASK_ID``: each with chance ``word_dropout``, and those of some texts together, or,
        in half of these, left out.
        """
        del movement
        if self._given is not None or not (self.config.word_dropout or self.config.hidden_words):
            return arrays
        values, mask = arrays.values, arrays.mask
        if self.config.word_dropout:
            dropped = torch.rand(arrays.mask.shape, generator=generator) < self.config.word_dropout
            values = values.masked_fill(dropped & arrays.mask, MASK_ID)
        if self.config.hidden_words:
            rows, whole, left_out, share = torch.rand(4, len(arrays), 1, generator=generator)
            share = torch.where(whole < 0.5, 1.0, share) * (rows < self.config.hidden_words)
            hidden = torch.rand(arrays.mask.shape, generator=generator) < share
            values = values.masked_fill(hidden & arrays.mask, MASK_ID)
            mask = mask & ~(hidden & (left_out < 0.5))
        return replace(arrays, values=values, mask=mask)

    def hide(self, arrays: Arrays, rows: torch.Tensor, generator: torch.Generator) -> Arrays:
        """Tokens of ``rows`` [B] bool left out, each row its own share of them, as in a text that lacks these words."""
        if self._given is not None or not self.config.hidden_words:
            return arrays
        share = torch.rand(len(arrays), 1, generator=generator)
        left_out = rows.unsqueeze(1) & (torch.rand(arrays.mask.shape, generator=generator) < share)
        return replace(arrays, mask=arrays.mask & ~left_out)

    def to_graph(self, arrays: Arrays, items: Sequence[Any]) -> GraphInput:
        """Ids of tokens."""
        del items
        return with_lengths(arrays, values="int64 [rows, tokens]")

    def from_graph(self, values: torch.Tensor, *others: torch.Tensor) -> Arrays:
        return up_to(values, *others)

    def vocabulary_file(self) -> str | None:
        if self._given is not None:
            return None
        return json.dumps(self.state(), ensure_ascii=False) if self._words is not None else self.tokenizer.to_str()

    def state(self) -> dict[str, Any]:
        """The tokenizer in its own JSON, and the tokens that training never had; a pretrained model's is not copied."""
        if self._given is not None:
            return {}
        if self._words is not None:
            return {"words": list(self._words.words), "segmenter": self._words.segmenter}
        return {"tokenizer": self.tokenizer.to_str(), "unseen": self._unseen}

    @classmethod
    def load(cls, config: TextConfig, state: dict[str, Any]) -> Self:
        """The inverse of ``state``."""
        text = cls(config)
        if text._given is not None:
            return text
        if config.units == "words":
            words = TypeAdapter(list[str]).validate_python(state["words"])
            text._words = Vocabulary(words, str(state["segmenter"]), lowercase=config.lowercase)
            return text
        from tokenizers import Tokenizer

        text._tokenizer = text._prepared(Tokenizer.from_str(state["tokenizer"]))
        # Bundles of Tonggan 0.1 name none: their models know every token.
        text._unseen = TypeAdapter(list[NonNegativeInt]).validate_python(state.get("unseen", []))
        return text


class Vocabulary:
    """The words of a training part, by their ids.

    Args:
        words: the most frequent first.
        segmenter: what cuts runs of Chinese, ``jieba`` or ``characters``.
        lowercase: whether capital and small letters are the same.

    Raises:
        MissingExtraError: jieba cut the words of the training part, and is not installed.
    """

    def __init__(self, words: Sequence[str], segmenter: str, *, lowercase: bool) -> None:
        self.words, self.segmenter, self._lowercase = words, segmenter, lowercase
        self._ids = {word: number for number, word in enumerate(words, len(SPECIAL_TOKENS))}
        self._cut: Callable[[str], Iterable[str]] = list if segmenter == "characters" else _jieba()

    @classmethod
    def fit(cls, texts: Iterable[str], config: TextConfig) -> Vocabulary:
        """The most frequent words of ``texts``."""
        segmenter = "characters" if find_spec("jieba") is None else "jieba"
        empty = cls([], segmenter, lowercase=config.lowercase)
        counts = Counter(word for text in texts for word in empty.split(text))
        kept = [(-count, word) for word, count in counts.items() if count >= config.min_frequency]
        words = [word for _, word in sorted(kept)[: config.vocab_size - len(SPECIAL_TOKENS)]]
        return cls(words, segmenter, lowercase=config.lowercase)

    def split(self, text: str) -> Iterator[str]:
        """The words of a text, and its marks."""
        text = unicodedata.normalize("NFKC", text)
        for found in _UNIT.finditer(text.lower() if self._lowercase else text):
            if found[1]:
                yield from self._cut(found[1])
            else:
                yield found[0]

    def encode(self, text: str) -> list[int]:
        """Their ids."""
        return [self._ids.get(word, MASK_ID) for word in self.split(text)]


def _jieba() -> Callable[[str], Iterable[str]]:
    try:
        import jieba
    except ImportError as error:
        raise MissingExtraError.of("jieba", extra="search", purpose="the words of Chinese text") from error
    jieba.setLogLevel("WARNING")
    cut: Callable[[str], Iterable[str]] = jieba.lcut
    return cut


def _whole(item: object) -> str | None:
    text = item if isinstance(item, str) else cell_text(item)
    return None if text is None else text.strip()[:_MAX_CHARACTERS] or None


@dataclass(frozen=True)
class _Given:
    """A pretrained vocabulary: how many ids it has, and what ids texts have."""

    size: int
    encode: Callable[[list[str]], list[list[int]]]


def _given_vocabulary(config: TextConfig) -> _Given | None:
    most = config.max_tokens
    if config.language is not None:
        from tonggan.language.pretrained import load_tokenizer

        language = load_tokenizer(config.language)
        return _Given(language.size, lambda texts: [language.encode(text)[:most] for text in texts])
    if config.weights is None:
        return None
    weights = open_text_weights(config.weights)
    prompt, tokenizer = weights.prompt, weights.tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    tokenizer.encode_special_tokens = True

    def encode(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch_fast([prompt + text for text in texts])]

    return _Given(tokenizer.get_vocab_size(), encode)
