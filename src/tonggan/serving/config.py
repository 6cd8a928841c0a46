"""What a server allows: how much at once, how long, how large. All bounds of requests are here, and in docs/serve.md.

What a body holds is counted before anything is done with it: a request costs at most what an honest one may cost.
"""

from __future__ import annotations

from pydantic import Field

from tonggan.config import Config

MAX_VALUES = 100_000
"""Values of a JSON body: numbers, texts, lists, objects and their names, at every depth."""
MAX_DEPTH = 64
"""Lists and objects of a JSON body inside of each other."""
MAX_MESSAGES = 2_048
"""Messages of a conversation."""
MAX_PARTS = 256
"""Parts of one message's content."""
MAX_MEDIA = 128
"""Pictures and recordings of a conversation."""
MAX_TEXTS = 128
"""Texts to write, and prompts, of one request."""
MAX_LIKES = 1_000
"""Items that somebody likes, of a request for recommendations."""
MAX_RECOMMENDED = 1_000
"""Items of an answer with recommendations."""
MAX_STOPS = 64
"""Stop strings."""
MAX_STOP_LENGTH = 1_000
"""Characters of a stop string."""
MAX_EXTRAS = 256
"""Pieces of other files that an editor sends."""
MAX_GRAMMAR = 32_768
"""Characters of a regular expression or a JSON schema."""
MAX_TOOLS = 128
"""Functions that a request offers, and calls of one message."""
MAX_LOGPROBS = 200_000
"""Log-probabilities of an answer: texts, times their tokens, times the candidates at each place."""
MAX_PROMPT = 10_000
"""Characters of what a transcription is told before it begins."""
MAX_SPOKEN = 4_096
"""Characters of a text to speak, as many as OpenAI takes."""
MAX_FIELDS = 1_000
"""Fields, and files, of a form."""
MEDIA_SHARE = 8
"""All pictures of a request have at most so many times the pixels of the largest one, recordings the samples."""
MAX_SAMPLE_RATE = 96_000
"""Of a recording, all its channels together; what has more samples a second may be shorter in proportion."""
HELD_BODIES = 8
"""All bodies that the server holds at a time have at most so many times the bytes of the largest one."""
MAX_INTEGER = 2**31 - 1
"""Of parameters that are whole numbers and have no bound of their own."""


class ServerConfig(Config):
    """Limits of a server. A request beyond one is refused with an error that names the limit."""

    slots: int = Field(default=8, ge=1, le=256)
    """Number of texts that one model generates at the same time."""
    max_length: int = Field(default=4096, ge=2)
    """Maximum number of tokens of a text, prompt included; the model's own context may be shorter."""
    queue: int = Field(default=64, ge=0)
    """Maximum number of waiting texts of one model, or waiting rows; any more are answered with status 429."""
    timeout: float = Field(default=300.0, gt=0)
    """Seconds that a request may take, including its arrival and its time in the queue."""
    read_timeout: float = Field(default=30.0, gt=0)
    """Seconds that a client may take to send its headers, to send the next part of a body, and to accept an answer."""
    stop_timeout: float = Field(default=30.0, gt=0)
    """Seconds that a shutdown waits for requests in progress."""
    max_bytes: int = Field(default=32 * 2**20, ge=1_024)
    """Maximum size of a request's body, in bytes."""
    max_characters: int = Field(default=500_000, ge=1_024)
    """Maximum number of characters of all texts of a request, not counting pictures and recordings."""
    max_pixels: int = Field(default=40_000_000, ge=1)
    """Maximum number of pixels of an uploaded picture."""
    max_seconds: float = Field(default=300.0, gt=0)
    """Maximum length of an uploaded recording, in seconds."""
    batch_rows: int = Field(default=64, ge=1)
    """Rows that go through a model together, for predictions and embeddings."""
    batch_wait: float = Field(default=0.004, ge=0, le=1)
    """Seconds that a row waits for others to form a batch."""
