"""The tokenizer that a GGUF file's metadata describes, built with the tokenizers library. It reads no file itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tonggan.errors import DataError
from tonggan.language.tokenizer import Tokenizer

_CONTROL, _USER_DEFINED = 3, 4
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
_END_NAMES = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "</s>")
"""Control tokens that end a turn or a text under whatever key the metadata name them."""


def build(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``metadata`` describe.

    Raises:
        DataError: a kind of vocabulary, or of splitting text into words, that is not known to the letter.
    """
    import tokenizers
    from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in _SPLITS:
        raise DataError(
            "tokenizer of the GGUF file",
            got=f"kind {kind!r}, split {split!r}",
            expected=f"kind 'gpt2', split one of {', '.join(_SPLITS)}",
            remedy="Use the llamacpp engine: pip install 'tonggan[llamacpp]'",
        )
    names: list[str] = metadata["tokenizer.ggml.tokens"]
    vocabulary = {name: id_ for id_, name in enumerate(names)}
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    library = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=split == "llama-bpe"))
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in _SPLITS[split]]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    library.decoder = decoders.ByteLevel()
    kinds = metadata.get("tokenizer.ggml.token_type", [])
    for id_, token_kind in enumerate(kinds):
        if token_kind == _CONTROL:
            library.add_special_tokens([AddedToken(names[id_], normalized=False, special=True)])
        elif token_kind == _USER_DEFINED:
            library.add_tokens([AddedToken(names[id_], normalized=False)])
    named = [metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom")]
    known = [vocabulary[name] for name in _END_NAMES if name in vocabulary and kinds[vocabulary[name]] == _CONTROL]
    ends = list(dict.fromkeys(id_ for id_ in (*named, *known) if id_ is not None))
    opens = metadata.get("tokenizer.ggml.add_bos_token", split == "llama-bpe")
    start = metadata.get("tokenizer.ggml.bos_token_id")
    texts = {f"{key}_token": metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("bos", "eos")}
    return Tokenizer(
        library,
        start=start if opens else None,
        ends=ends,
        chat_template=metadata.get("tokenizer.chat_template"),
        names={key: names[id_] for key, id_ in texts.items() if id_ is not None},
    )
