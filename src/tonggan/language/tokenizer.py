"""Text to token ids and back: one class over the tokenizers library, whatever file the vocabulary comes from.

It knows no model and no roles of a chat; it only carries the chat template that came with its vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tonggan.errors import DataError

if TYPE_CHECKING:
    import tokenizers

PAD, START, END = "<pad>", "<s>", "</s>"
"""Control tokens 0, 1 and 2 of a trained vocabulary."""

_LONG = 10_000
"""Characters of a text that takes long enough for others to wait for it."""


class Tokenizer:
    """A vocabulary and the rules that cut text into it.

    Attributes:
        library: the tokenizers library's own, for parts that need it.
        size: token ids run from 0 to one less.
        start: id that opens every sequence; None where the model wants none.
        ends: ids that end a turn or a text; the first is the one to train with.
        chat_template: Jinja source that writes a conversation as one text; None where the model has none.
        names: texts of the control tokens that a chat template may mention, e.g. ``bos_token``.
    """

    def __init__(
        self,
        library: tokenizers.Tokenizer,
        *,
        start: int | None,
        ends: Sequence[int],
        chat_template: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.library = library
        self.size = 1 + max(library.get_vocab(with_added_tokens=True).values())
        self.start = start
        self.ends = tuple(ends)
        self.chat_template = chat_template
        self.names = dict(names or {})
        self._special = {id_ for id_, token in library.get_added_tokens_decoder().items() if token.special}
        self._plain = _without_control(library)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of ``text``, without ``start``.

        Args:
            text: any text.
            special: read names of control tokens such as ``<|im_start|>`` as these tokens. Never so for text that a
                user wrote: it must not be able to end its own turn.

        Raises:
            DataError: the text holds an unpaired surrogate, which JSON can write and no encoding can.
        """
        library = self.library if special else self._plain
        try:
            if len(text) > _LONG:  # for which only the batch lets other threads run
                return list(library.encode_batch_fast([text], add_special_tokens=False)[0].ids)
            ids: list[int] = library.encode(text, add_special_tokens=False).ids
        except TypeError as error:
            raise DataError(
                "text",
                got=f"an unpaired surrogate in {text[:80]!a}",
                expected="valid Unicode",
                remedy="Send both halves of the pair, or the character itself",
            ) from error
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as ``encode`` gives them without control tokens, on all cores."""
        return [encoding.ids for encoding in self._plain.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; control tokens leave nothing, and bytes that are no UTF-8 become U+FFFD."""
        text: str = self.library.decode(list(ids), skip_special_tokens=True)
        return text

    def bytes_of(self, id_: int) -> bytes:
        """The bytes one token stands for; none for a control token."""
        return self._bytes[id_]

    @cached_property
    def _bytes(self) -> list[bytes]:
        """The bytes of every token."""
        spell = _spell_byte_level if "ByteLevel" in repr(self.library.decoder) else _spell_sentence_piece
        names = [None if id_ in self._special else self.library.id_to_token(id_) for id_ in range(self.size)]
        return [b"" if name is None else spell(name) for name in names]

    def state(self) -> dict[str, Any]:
        """The tokenizer as JSON."""
        return {
            "tokenizer": self.library.to_str(),
            "start": self.start,
            "ends": list(self.ends),
            "chat_template": self.chat_template,
            "names": self.names,
        }

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Tokenizer:
        """The inverse of ``state``."""
        import tokenizers

        library = tokenizers.Tokenizer.from_str(state["tokenizer"])
        return cls(library, **{name: state[name] for name in ("start", "ends", "chat_template", "names")})

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
        """Byte-level BPE (Sennrich et al. 2016; over bytes as in GPT-2) learned from ``texts``.

        Every text can be written, and comes back as its NFC form. 259 tokens are always there: the control tokens
        ``<pad>``, ``<s>``, ``</s>``, and all bytes.
        """
        import tokenizers
        from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

        library = tokenizers.Tokenizer(models.BPE())
        library.normalizer = normalizers.NFC()
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        library.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[PAD, START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        library.train_from_iterator(texts, trainer)
        return cls(library, start=1, ends=(2,), names={"bos_token": START, "eos_token": END})


def looks_like_control(name: str) -> bool:
    """Whether an added token is a control token by its name, whatever its file says.

    Qwen2.5-Coder's tokens to fill in with are not marked as special; llama.cpp goes by the same form of a name.
    """
    return name.startswith("<|") and name.endswith("|>")


def _without_control(library: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The same tokenizer, which takes the names of control tokens as plain text; it shares the vocabulary's memory."""
    import tokenizers

    plain = tokenizers.Tokenizer(library.model)
    plain.normalizer = library.normalizer
    plain.pre_tokenizer = library.pre_tokenizer
    plain.add_tokens([token for token in library.get_added_tokens_decoder().values() if not token.special])
    return plain


def _byte_characters() -> list[str]:
    """The visible character that stands for each byte in a byte-level vocabulary (GPT-2)."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in visible else next(spare)) for byte in range(256)]


_BYTE_OF = {character: byte for byte, character in enumerate(_byte_characters())}


def _spell_byte_level(token: str) -> bytes:
    """Bytes of a token; one that was added is written as it is."""
    return bytes(_BYTE_OF[character] for character in token) if _BYTE_OF.keys() >= set(token) else token.encode()


def _spell_sentence_piece(token: str) -> bytes:
    """Bytes of a token of SentencePiece, which writes a space as ``▁`` and a lone byte as ``<0x0A>``."""
    byte = re.fullmatch("<0x([0-9A-F]{2})>", token)
    return token.replace("▁", " ").encode() if byte is None else bytes.fromhex(byte[1])
