"""How a text is generated: length, sampling, beams, stops, constraints, speculation. It chooses no token itself."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from tonggan.config import Config


class GenerationConfig(Config):
    """Settings of one generation; the defaults are greedy."""

    max_tokens: int = Field(256, ge=1, description="Tokens to generate at most; the context may leave fewer.")
    temperature: float = Field(0.0, ge=0, description="Logits are divided by it before sampling; 0 is greedy.")
    top_k: int = Field(0, ge=0, description="Sample among the k most probable tokens; 0 is all.")
    top_p: float = Field(1.0, ge=0, le=1, description="Sample among the fewest tokens that hold this probability.")
    min_p: float = Field(0.0, ge=0, le=1, description="Drop tokens below this part of the greatest probability.")
    repetition_penalty: float = Field(1.0, gt=0, description="Above 1, tokens that occurred already get less likely.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the draws; every text has a generator of its own.")
    stop: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list, description="Strings that end the text and are no part of it."
    )
    num_beams: int = Field(1, ge=1, le=64, description="Width of beam search; 1 is none.")
    length_penalty: float = Field(1.0, description="Beams' scores are divided by their length to this power.")
    logprobs: int | None = Field(
        None, ge=0, le=20, description="Report log-probabilities, with so many of the likeliest alternatives."
    )
    regex: str | None = Field(None, description="A regular expression that the whole text must match.")
    json_schema: dict[str, Any] | None = Field(None, description="A JSON schema that the text must obey.")
    lookup: int = Field(0, ge=0, le=15, description="Tokens of a draft copied from the context; same text, faster.")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.regex is not None and self.json_schema is not None:
            raise ValueError("regex and json_schema exclude each other")
        greedy = self.model_copy(
            update={"temperature": 0.0, "repetition_penalty": 1.0, "logprobs": None, "lookup": 0}
            | {"regex": None, "json_schema": None}
        )
        if self.num_beams > 1 and self != greedy:
            raise ValueError(
                "num_beams > 1 goes with none of temperature, repetition_penalty, logprobs, lookup, regex, json_schema"
            )
        return self
