"""What a server allows: how much at once, how long, how large. Which models it serves is told apart."""

from __future__ import annotations

from pydantic import Field

from tonggan.config import Config


class ServerConfig(Config):
    """Limits of a server. A request beyond one is refused with an error that names the limit."""

    slots: int = Field(default=8, ge=1, le=256)
    """Texts of one model that are written at the same time."""
    max_length: int = Field(default=4096, ge=2)
    """Tokens that a text may take, its prompt included; the model's own context may be shorter."""
    queue: int = Field(default=64, ge=0)
    """Texts of one model, or rows to predict, that may wait; what comes beyond is answered with status 429."""
    timeout: float = Field(default=300.0, gt=0)
    """Seconds that a request may take, its waiting included."""
    max_bytes: int = Field(default=32 * 2**20, ge=1_024)
    """Bytes of a request's body."""
    max_pixels: int = Field(default=40_000_000, ge=1)
    """Pixels of an uploaded picture."""
    max_seconds: float = Field(default=300.0, gt=0)
    """Seconds of an uploaded recording."""
    batch_rows: int = Field(default=64, ge=1)
    """Rows that go through a model together in predictions and embeddings."""
    batch_wait: float = Field(default=0.004, ge=0, le=1)
    """Seconds that a row waits for others to go with."""
