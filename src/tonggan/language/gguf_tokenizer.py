"""The tokenizer that a GGUF file's metadata describes, built with the tokenizers library, and the way back.

It reads and writes no file itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tonggan.errors import DataError, UnsupportedModelError
from tonggan.language.tokenizer import Tokenizer, looks_like_control
from tonggan.stored import DOWNLOAD, Record, named, parse_record

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
"""Values of ``tokenizer.ggml.token_type``."""
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_SPLITS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_QWEN2,),
}
"""How text is cut into words before merges, by ``tokenizer.ggml.pre``: each pattern cuts what the last one left."""
_WHO = "tokenizer of the GGUF file"
_PROBE = "It's  I'LL 12345 ½٣ x²\t\n\n  你好,world !!\r\n\n a\u3000b😀_ "
"""Splits that cut this text alike are taken for the same."""
_END_NAMES = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "</s>")
"""Control tokens that end a turn or a text under whatever key the metadata name them."""


class _Vocabulary(Record):
    """What of a file's metadata makes a tokenizer."""

    tokens: list[str] = Field(alias="tokenizer.ggml.tokens", min_length=1)
    merges: list[str] = Field(alias="tokenizer.ggml.merges")
    kinds: list[int] = Field(alias="tokenizer.ggml.token_type", default=[])
    bos: int | None = Field(alias="tokenizer.ggml.bos_token_id", default=None, ge=0)
    eos: int | None = Field(alias="tokenizer.ggml.eos_token_id", default=None, ge=0)
    eot: int | None = Field(alias="tokenizer.ggml.eot_token_id", default=None, ge=0)
    eom: int | None = Field(alias="tokenizer.ggml.eom_token_id", default=None, ge=0)
    opens: bool | None = Field(alias="tokenizer.ggml.add_bos_token", default=None)
    chat_template: str | None = Field(alias="tokenizer.chat_template", default=None)


def read_gguf_tokenizer(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``metadata`` describe.

    Raises:
        UnsupportedModelError: a kind of vocabulary, or of splitting text into words, that is not known to the letter.
        DataError: the vocabulary is damaged.
    """
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in _SPLITS:
        raise UnsupportedModelError(
            _WHO,
            got=f"kind {kind!r}, split {split!r}",
            expected=f"kind 'gpt2', split one of {', '.join(_SPLITS)}",
            remedy="Use the llamacpp engine: pip install 'tonggan[llamacpp]'",
        )
    told = parse_record(_Vocabulary, metadata, who=_WHO, remedy=DOWNLOAD)
    with named(_WHO, expected="a vocabulary and its merges", remedy=DOWNLOAD):
        return _built(told, split)


def _built(told: _Vocabulary, split: str) -> Tokenizer:
    import tokenizers
    from tokenizers import AddedToken, decoders, models

    names, kinds = told.tokens, told.kinds
    vocabulary = {name: id_ for id_, name in enumerate(names)}
    if len(vocabulary) < len(names):
        raise ValueError(f"{len(names) - len(vocabulary):,} tokens twice")
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in told.merges)]
    library = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=split == "llama-bpe"))
    library.pre_tokenizer = _splitter(split)
    library.decoder = decoders.ByteLevel()
    for id_, token_kind in enumerate(kinds):
        if token_kind == _CONTROL or (token_kind == _USER_DEFINED and looks_like_control(names[id_])):
            library.add_special_tokens([AddedToken(names[id_], normalized=False, special=True)])
        elif token_kind == _USER_DEFINED:
            library.add_tokens([AddedToken(names[id_], normalized=False)])
    known = [vocabulary[name] for name in _END_NAMES if name in vocabulary and kinds[vocabulary[name]] == _CONTROL]
    ends = list(dict.fromkeys(id_ for id_ in (told.eos, told.eot, told.eom, *known) if id_ is not None))
    opens = split == "llama-bpe" if told.opens is None else told.opens
    return Tokenizer(
        library,
        start=told.bos if opens else None,
        ends=ends,
        chat_template=told.chat_template,
        names={key: names[id_] for key, id_ in (("bos_token", told.bos), ("eos_token", told.eos)) if id_ is not None},
    )


def describe(tokenizer: Tokenizer, *, size: int) -> dict[str, Any]:
    """The metadata from which ``build`` makes ``tokenizer`` again.

    Args:
        tokenizer: of the byte-level kind.
        size: rows of the model's embedding table; ids beyond the tokenizer's are called unused.

    Raises:
        DataError: another kind of vocabulary, or a split that GGUF has no name for.
    """
    library = tokenizer.library
    model = json.loads(library.to_str())["model"]
    pieces = None if library.pre_tokenizer is None else library.pre_tokenizer.pre_tokenize_str(_PROBE)
    split = next((name for name in _SPLITS if _splitter(name).pre_tokenize_str(_PROBE) == pieces), None)
    if model["type"] != "BPE" or split is None:
        raise DataError(
            "tokenizer to export",
            got=f"kind {model['type']}, a split without a name",
            expected=f"byte-level BPE, split as one of {', '.join(_SPLITS)}",
            remedy="Convert the model's folder with llama.cpp's own convert_hf_to_gguf.py",
        )
    tokens, kinds = [f"[UNUSED{id_}]" for id_ in range(size)], [_UNUSED] * size
    for token, id_ in model["vocab"].items():
        tokens[id_], kinds[id_] = token, _NORMAL
    for id_, added in library.get_added_tokens_decoder().items():
        tokens[id_], kinds[id_] = added.content, _CONTROL if added.special else _USER_DEFINED
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": split,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": library.token_to_id(tokenizer.names.get("bos_token", "")),
        "tokenizer.ggml.eos_token_id": tokenizer.ends[0] if tokenizer.ends else None,
        "tokenizer.ggml.add_bos_token": tokenizer.start is not None,
        "tokenizer.chat_template": tokenizer.chat_template,
    }
    return {key: value for key, value in metadata.items() if value is not None}


def _splitter(split: str) -> PreTokenizer:
    from tokenizers import Regex, pre_tokenizers

    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in _SPLITS[split]]
    return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
