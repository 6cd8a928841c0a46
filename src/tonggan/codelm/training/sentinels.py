"""The three control tokens of fill-in-the-middle in a vocabulary that has none: chosen among unused ones, and taught.

A model that never saw them has one and the same embedding for all, so their rows are trained, also where everything
else of the model is frozen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tonggan.language.causal_transformer import CausalTransformer
from tonggan.language.infill import InfillTokens
from tonggan.language.tokenizer import Tokenizer


def choose_sentinels(tokenizer: Tokenizer) -> tuple[str, str, str] | None:
    """Names of the tokens for prefix, suffix and middle; None where a vocabulary has too few control tokens.

    A vocabulary's own tokens for it come first. Else these are its last three control tokens that no chat template
    mentions and that neither start nor end a text: what is reserved for later stands last in vocabularies.
    """
    own = InfillTokens.of(tokenizer)
    library = tokenizer.library
    if own is not None:
        prefix, suffix, middle = (str(library.id_to_token(id_)) for id_ in (own.prefix, own.suffix, own.middle))
        return prefix, suffix, middle
    used = {tokenizer.start, 0, *tokenizer.ends}  # by custom, padding or the end of a text is first
    mentioned = " ".join([tokenizer.chat_template or "", *tokenizer.names.values()])
    unused = [
        token.content
        for id_, token in sorted(library.get_added_tokens_decoder().items())
        if token.special and id_ not in used and token.content not in mentioned
    ]
    return (unused[-3], unused[-2], unused[-1]) if len(unused) >= 3 else None


class SentinelRows(nn.Module):
    """The trainable rows of three tokens, in the embedding table and in the head that gives logits.

    Args:
        model: whose rows they replace, one that has other parameters frozen.
        infill: the tokens.
        generator: of the noise by which their embeddings differ from the first step on.
    """

    ids: Tensor

    def __init__(self, model: CausalTransformer, infill: InfillTokens, *, generator: torch.Generator) -> None:
        super().__init__()
        ids = torch.tensor([infill.prefix, infill.suffix, infill.middle])
        self.register_buffer("ids", ids, persistent=False)
        rows = model.model.embed_tokens.weight[ids].detach().float()
        noise = torch.randn(rows.shape, generator=generator)
        self.rows = nn.Parameter(rows + 0.5 * rows.square().mean().sqrt() * noise)
        self.head_rows = None
        if not model.config.tie_word_embeddings:
            self.head_rows = nn.Parameter(model.lm_head.weight[ids].detach().float())

    @property
    def output_rows(self) -> Tensor:
        """``[3, D]``: from last hidden states to logits."""
        return self.rows if self.head_rows is None else self.head_rows

    def embed(self, ids: Tensor, values: Tensor) -> Tensor:
        """Embeddings ``values [..., D]`` of ``ids [...]`` with those of the three tokens put in."""
        for number, id_ in enumerate(self.ids):
            values = torch.where((ids == id_).unsqueeze(-1), self.rows[number].to(values.dtype), values)
        return values

    def logits(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """``logits [N, V]`` of ``hidden [N, D]`` with those of the three tokens put in."""
        return logits.index_copy(1, self.ids, (hidden @ self.output_rows.T).to(logits.dtype))

    @torch.no_grad()
    def write_to(self, model: CausalTransformer) -> None:
        """Put the rows into ``model``'s own tables."""
        model.model.embed_tokens.weight[self.ids.cpu()] = self.rows.to("cpu", model.model.embed_tokens.weight.dtype)
        if self.head_rows is not None:
            model.lm_head.weight[self.ids.cpu()] = self.head_rows.to("cpu", model.lm_head.weight.dtype)
