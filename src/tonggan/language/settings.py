"""How a text is generated: length, sampling, beams, stops, constraints, speculation. It chooses no token itself."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from tonggan.config import Config


class GenerationConfig(Config):
    """Settings of one generation; the defaults are greedy."""

    max_tokens: int = Field(default=256, ge=1)
    """Maximum number of tokens to generate; the context may leave fewer."""
    temperature: float = Field(default=0.0, ge=0)
    """Logits are divided by it before a token is drawn; 0 is greedy."""
    top_k: int = Field(default=0, ge=0)
    """Sample from this many most probable tokens; 0 for all."""
    top_p: float = Field(default=1.0, ge=0, le=1)
    """Sample from the fewest tokens whose probabilities add up to this (Holtzman et al. 2020)."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Never sample a token whose probability is below this fraction of the highest (Nguyen et al. 2024)."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Above 1, tokens of the prompt and of the text so far become less probable (Keskar et al. 2019)."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of sampling. Every text has its own generator, so what else is generated in the batch does not matter."""
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Strings that end the text; they are not part of it."""
    num_beams: int = Field(default=1, ge=1, le=64)
    """Width of beam search; 1 is none."""
    length_penalty: float = 1.0
    """Scores of beams are divided by their length to this power: above 0 favors long texts, below 0 short ones."""
    logprobs: int | None = Field(default=None, ge=0, le=20)
    """Report log-probabilities of the tokens, and of this many most probable ones at each position."""
    regex: str | None = None
    """A regular expression that the whole text must match; look-around and back-references are not supported."""
    json_schema: dict[str, Any] | None = None
    """A JSON schema that the text must satisfy."""
    grammar: str | None = None
    """A grammar, in llguidance's dialect of Lark, that the text must match; near ``max_tokens`` the text is steered to
    an end."""
    trigger: str | None = Field(default=None, min_length=1)
    """The grammar applies after this text; before it, generation is free."""
    lookup: int = Field(default=0, ge=0, le=15)
    """Maximum number of tokens guessed from the context and verified in one step: the same text, sooner."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if sum(each is not None for each in (self.regex, self.json_schema, self.grammar)) > 1:
            raise ValueError("regex, json_schema and grammar exclude each other")
        if self.trigger is not None and self.grammar is None:
            raise ValueError("trigger needs a grammar")
        single = ("temperature", "repetition_penalty", "logprobs", "regex", "json_schema", "grammar", "lookup")
        if self.num_beams > 1 and any(getattr(self, name) != _default(name) for name in single):
            raise ValueError(f"beam search goes with none of {', '.join(single)}")
        return self


def _default(name: str) -> Any:
    return GenerationConfig.model_fields[name].default
