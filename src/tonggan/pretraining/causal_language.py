"""Causal language modeling: each token is guessed from those before it, by an encoder that sees no others."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from tonggan.modalities import Text
from tonggan.pretraining.base import Guessed, Pretraining, PretrainingConfig, check_for_each, refuse
from tonggan.pretraining.masked_language import Vocabulary
from tonggan.tokens import Arrays
from tonggan.wording import Words

_TRIED = 4  # tokens of the text by which it is seen what an encoder sees


class CausalLanguageConfig(PretrainingConfig):
    """Guess the next token (GPT, Radford et al. 2018)."""

    reads: ClassVar[tuple[str, ...]] = ("text",)
    words: ClassVar[Words] = Words("guess the next word", "猜出下一个词")
    kind: Literal["causal_language"] = "causal_language"

    def build(self, encoder: nn.Module, modality: Text, *, dim: int) -> CausalLanguage:
        vocabulary = Vocabulary(encoder, modality, objective=self.kind, dim=dim)
        _check_causal(encoder, num_tokens=vocabulary.size)
        return CausalLanguage(encoder, vocabulary)


class CausalLanguage(Pretraining):
    """Ids ``[B, L]`` to the cross-entropy of each but the first."""

    def __init__(self, encoder: nn.Module, vocabulary: Vocabulary) -> None:
        super().__init__(encoder, "causal_language")
        self.vocabulary = vocabulary

    def guess(self, arrays: Arrays, generator: torch.Generator | None) -> Guessed:
        del generator
        tokens = self.encoder(arrays)
        check_for_each(self.kind, tokens, arrays)
        return self.vocabulary.guessed(tokens.values[:, :-1], arrays.values[:, 1:], arrays.mask[:, 1:])


@torch.no_grad()
def _check_causal(encoder: nn.Module, *, num_tokens: int) -> None:
    """Raise ConfigError where a later token changes what an encoder makes of an earlier one."""
    was_training = encoder.training
    encoder.eval()
    ids = torch.arange(_TRIED).unsqueeze(0) % num_tokens
    other = ids.clone()
    other[0, -1] = num_tokens - 1
    mask = torch.ones_like(ids, dtype=torch.bool)
    made = [encoder(Arrays(each, mask)).values for each in (ids, other)]
    encoder.train(was_training)
    if made[0].shape[1] == _TRIED and not torch.allclose(made[0][:, :-1], made[1][:, :-1], atol=1e-6):
        raise refuse(
            objective="causal_language",
            got="an encoder that sees the tokens it is to guess",
            expected="one that sees at each token only those before it",
            remedy="Set encoder.causal=true, or use the objective masked_language",
        )
