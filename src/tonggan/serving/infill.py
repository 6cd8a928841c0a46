"""Fill-in-the-middle: a prompt of what comes before and after, for models that write what is between."""

from __future__ import annotations

import torch

from tonggan.language.prompt import Prompt
from tonggan.language.tokenizer import Tokenizer
from tonggan.serving.failures import RefusedError

# Names of the three control tokens: Qwen's, and StarCoder's, which most others took over.
_TOKENS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
)


def infill_prompt(tokenizer: Tokenizer, prefix: str, *, suffix: str) -> Prompt:
    """Prefix, suffix, middle, in this order (Bavarian et al. 2022).

    Raises:
        RefusedError: the tokenizer has no control tokens for it.
    """
    for names in _TOKENS:
        ids = [tokenizer.encode(name, special=True) for name in names]
        if all(len(each) == 1 and not tokenizer.bytes_of(each[0]) for each in ids):
            before, after, middle = ids
            parts = [*before, *tokenizer.encode(prefix), *after, *tokenizer.encode(suffix), *middle]
            return Prompt((torch.tensor(parts),))
    raise RefusedError(
        "suffix",
        got="a text that comes after",
        expected="none: this model has no fill-in-the-middle tokens",
        remedy="Leave suffix out, or serve a model that was trained to fill in",
        param="suffix",
    )
