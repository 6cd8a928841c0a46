"""A real server on loopback, in a thread, over a tiny model with random weights; and OpenAI's own client."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import openai
import soundfile
import torch
from PIL import Image

from generation_scene import engine, tokenizer
from tonggan.language.model import LanguageModel
from tonggan.language.torch_engine import TorchEngine
from tonggan.serving.authentication import Keys
from tonggan.serving.config import ServerConfig
from tonggan.serving.server import bind, make_server
from tonggan.serving.services import CodeService, SearchService, Service, TextService


class EndlessEngine(TorchEngine):
    """The tiny model, which never ends a text by itself and takes its time for every step."""

    seconds = 0.0

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        logits = super().logits(hidden)
        logits[..., list(tokenizer().ends)] = -torch.inf
        return logits


def endless_model(*, seconds: float = 0.0, max_length: int = 4096) -> LanguageModel:
    slow = EndlessEngine(engine(max_length=max_length).model)
    slow.seconds = seconds
    return LanguageModel(slow, tokenizer(), name="tiny")


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Attributes:
        url: its root.
        stop: let it stop gracefully, without waiting for it.
        thread: where it runs.
    """

    url: str
    stop: Callable[[], None]
    thread: threading.Thread

    def client(self, *, api_key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=api_key, max_retries=0, timeout=60)

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}


@contextmanager
def running(
    services: Sequence[Service],
    *,
    config: ServerConfig,
    keys: Sequence[str] = (),
    code: CodeService | None = None,
    rows: SearchService | None = None,
) -> Iterator[Running]:
    with bind("127.0.0.1", 0) as listening:
        server = make_server(services, host="127.0.0.1", config=config, keys=Keys(keys), code=code, rows=rows)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        def stop() -> None:
            server.should_exit = True

        try:
            until(lambda: server.started)
            yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", stop, thread)
        finally:
            stop()
            thread.join(60)
            assert not thread.is_alive(), "the server does not stop"


@contextmanager
def serving(model: LanguageModel, *, keys: Sequence[str] = (), **limits: Any) -> Iterator[Running]:
    """``model`` served as ``tiny``."""
    config = ServerConfig(**{"timeout": 60.0, **limits})
    with running([Service("tiny", texts=TextService(model, config=config))], config=config, keys=keys) as server:
        yield server


def until(condition: Callable[[], Any], *, seconds: float = 60.0) -> None:
    """Wait for ``condition``; fail where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def picture(*, side: int = 16, color: tuple[int, int, int] = (200, 30, 30), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), color).convert(mode).save(file, "PNG")
    return file.getvalue()


def recording(*, seconds: float = 0.1, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(scale=0.1, size=round(rate * seconds)).astype(np.float32)
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def data_url(raw: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"
