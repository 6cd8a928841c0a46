"""Causal language modeling: each token is guessed from those before it, by an encoder that sees no others."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from tonggan.modalities import Text
from tonggan.modalities.code import COLUMNS, Code
from tonggan.pretraining.base import Draw, Guessed, Pretraining, PretrainingConfig, check_for_each, refuse
from tonggan.pretraining.masked_language import Vocabulary, ids_of
from tonggan.tokens import Arrays
from tonggan.wording import Words

_TRIED = 4  # tokens of the text by which it is seen what an encoder sees


class CausalLanguageConfig(PretrainingConfig):
    """Guess the next token (GPT, Radford et al. 2018)."""

    reads: ClassVar[tuple[str, ...]] = ("text", "code")
    words: ClassVar[Words] = Words("guess the next word", "猜出下一个词")
    kind: Literal["causal_language"] = "causal_language"

    def build(self, encoder: nn.Module, modality: Text | Code, *, dim: int) -> CausalLanguage:
        vocabulary = Vocabulary(encoder, modality, objective=self.kind, dim=dim)
        _check_causal(encoder, modality)
        return CausalLanguage(encoder, vocabulary)


class CausalLanguage(Pretraining):
    """Ids ``[B, L]``, or those of code ``[B, L, 7]``, to the cross-entropy of each but the first."""

    def __init__(self, encoder: nn.Module, vocabulary: Vocabulary) -> None:
        super().__init__(encoder, "causal_language")
        self.vocabulary = vocabulary

    def guess(self, arrays: Arrays, draw: Draw) -> Guessed:
        del draw
        tokens = self.encoder(arrays)
        check_for_each(self.kind, tokens, arrays)
        return self.vocabulary.guessed(tokens.values[:, :-1], ids_of(arrays.values)[:, 1:], arrays.mask[:, 1:])


@torch.no_grad()
def _check_causal(encoder: nn.Module, modality: Text | Code) -> None:
    """Raise ConfigError where a later token changes what an encoder makes of an earlier one."""
    was_training = encoder.training
    encoder.eval()
    ids = torch.arange(_TRIED).unsqueeze(0) % modality.num_tokens
    if isinstance(modality, Code):
        ids = torch.cat([ids.unsqueeze(2), torch.zeros(1, _TRIED, COLUMNS - 1, dtype=torch.int64)], dim=2)
    other = ids.clone()
    ids_of(other)[0, -1] = modality.num_tokens - 1
    mask = torch.ones(1, _TRIED, dtype=torch.bool)
    made = [encoder(Arrays(each, mask)).values for each in (ids, other)]
    encoder.train(was_training)
    if made[0].shape[1] == _TRIED and not torch.allclose(made[0][:, :-1], made[1][:, :-1], atol=1e-6):
        raise refuse(
            objective="causal_language",
            got="an encoder that sees the tokens it should predict",
            expected="one that sees only the tokens before each token",
            remedy="Set encoder.causal=true, or use the objective masked_language",
        )
