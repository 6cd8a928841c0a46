"""What a client may ask of an index of rows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tonggan.serving.body import Body, Whole


class SearchRequest(Body):
    """``POST /v1/search``: what to look for in words, as a picture, a recording, a clip or cells, or ``key`` of a
    row found before; files are data URLs. ``where`` has conditions such as ``year > 2020``;
    ``exact`` compares with every row, of however many.
    """

    query: str | None = None
    image: str | None = None
    audio: str | None = None
    video: str | None = None
    row: dict[str, str | int | float] | None = None
    key: str | None = None
    where: list[str] = Field(default=[], max_length=32)
    columns: Annotated[list[str], Field(min_length=1, max_length=256)] | None = None
    limit: Whole = Field(default=10, ge=1, le=100)
    exact: bool = False

    media = frozenset({"image", "audio", "video"})

    @model_validator(mode="after")
    def _asks_for_something(self) -> SearchRequest:
        asked = [self.query, self.image, self.audio, self.video, self.row]
        if (self.key is None) == all(each is None for each in asked):
            raise ValueError("either key, or one or more of query, image, audio, video and row")
        return self
