"""The engine for any GGUF architecture: many texts at once, through llama.cpp's own scheduler in this process.

It reads text only: a model that pictures or sounds speak through needs the torch or native engine.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http.client import HTTPConnection
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.language.causal_transformer import CausalTransformer
from tonggan.language.chat import ChatTemplate
from tonggan.language.continuation import SafeText
from tonggan.language.engine_config import EngineConfig
from tonggan.language.pretrained import StoredModel
from tonggan.language.prompt import Finish, Generation, Piece, Prompt, TokenLogprob
from tonggan.language.settings import GenerationConfig
from tonggan.language.text_model import Capability, TextModel
from tonggan.progress import Progress

_QUIET = -1
_TOKENS_AT_ONCE = 512  # of a prompt; between two such parts a text can be cancelled
_LARGEST_SEED = 2**32 - 1  # which llama.cpp takes for "any"


class LlamaCppConfig(EngineConfig):
    """A GGUF file of any architecture in llama.cpp; room for ``max_length`` tokens is taken for each parallel text."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    kind: Literal["llamacpp"] = "llamacpp"
    max_length: int = Field(default=4096, ge=1)
    num_parallel: int = Field(default=4, ge=1)

    def obstacle(self, model: StoredModel | CausalTransformer) -> str | None:
        if not isinstance(model, StoredModel):
            return "llama.cpp reads files alone"
        return "llama.cpp reads GGUF files, and the model is a folder" if model.path.is_dir() else None

    def open(self, model: StoredModel) -> LlamaCppModel:
        if model.path.is_dir():
            raise ConfigError(
                "engine llamacpp",
                got=f"folder {model.path}",
                expected="a GGUF file",
                remedy="Convert the model with export_gguf",
            )
        return LlamaCppModel(model.path, max_length=self.max_length, num_parallel=self.num_parallel)


class LlamaCppModel(TextModel):
    """A GGUF file in llama.cpp, with the methods of LanguageModel.

    Texts that go on at the same time, from several threads or from ``generate``, share each step (continuous batching).
    Prompts that begin alike are read once. A character that takes several tokens appears in a stream with the last one.

    Args:
        path: the file.
        max_length: tokens that prompt and continuation may have together; at most what the model was trained for.
        num_parallel: texts that go on at the same time; more wait. Each has a cache of ``max_length`` tokens.
        num_threads: by default one for each core.

    Attributes:
        name: what the model is called in messages and answers.
        max_length: tokens that prompt and continuation may have together.

    Raises:
        DataError: there is no such file, or llama.cpp cannot load it.
        MissingExtraError: xllamacpp is not installed.
    """

    reads = "the llamacpp engine"

    def __init__(
        self, path: str | Path, *, max_length: int = 4096, num_parallel: int = 4, num_threads: int | None = None
    ) -> None:
        self.name = Path(path).stem
        self._path = Path(path)
        self._num_threads = num_threads
        self._server = _Server(self._parameters(max_length, num_parallel), path=self._path)
        meta = self._server.ask("/v1/models")["data"][0]["meta"]
        self.max_length = min(int(meta["n_ctx"]), int(meta["n_ctx_train"]))
        properties = self._server.ask("/props")
        self._template = ChatTemplate(
            properties["chat_template"], start=properties["bos_token"], end=properties["eos_token"]
        )
        self._num_parallel = num_parallel
        self._workers = ThreadPoolExecutor(num_parallel, thread_name_prefix="llamacpp")
        self._embedder: _Server | None = None
        self._embedder_lock = Lock()

    def stream(
        self, prompt: Prompt, settings: GenerationConfig, *, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        return self._stream(self._request(prompt, settings), settings, cancelled)

    def generate(
        self, prompts: Sequence[Prompt], settings: GenerationConfig, *, progress: Progress | None = None
    ) -> list[Generation]:
        """The continuation of each prompt, ``num_parallel`` at a time.

        Raises:
            ConfigError: the settings ask for what this engine has not, or their constraint cannot be enforced.
            DataError: a prompt leaves no room in the context.
        """
        left = Event()
        streams = [self.stream(prompt, settings, cancelled=left.is_set) for prompt in prompts]
        with ThreadPoolExecutor(self._num_parallel) as pool:
            try:
                results = pool.map(_whole, streams)
                return list((progress or Progress()).track(results, label="generate", total=len(prompts)))
            finally:
                left.set()

    def embed(self, texts: Sequence[str]) -> Tensor:
        """``[N, D]`` float32: the mean of each text's last hidden states.

        The first call loads the model a second time for it; the weights are in memory once.

        Raises:
            DataError: a text is empty, or longer than the context.
        """
        ids = [self.prompt(text).ids for text in texts]
        for one in ids:
            self._check_length(len(one), limit=self.max_length)
        with self._embedder_lock:
            if self._embedder is None:
                parameters = self._parameters(self.max_length, 1)
                parameters.embedding = True
                parameters.pooling_type = _xllamacpp().llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
                parameters.embd_normalize = -1
                parameters.n_ubatch = parameters.n_batch = self.max_length
                self._embedder = _Server(parameters, path=self._path)
        return torch.tensor(self._embedder.embed(ids))

    def _parameters(self, max_length: int, num_parallel: int) -> Any:
        parameters = _xllamacpp().CommonParams()
        parameters.model.path = str(self._path)
        parameters.n_ctx = max_length * num_parallel
        parameters.n_parallel = num_parallel
        parameters.n_batch = _TOKENS_AT_ONCE
        parameters.fit_params = False
        parameters.cache_ram_mib = 0  # by default gigabytes of former conversations
        parameters.verbosity = _QUIET
        if self._num_threads is not None:
            parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = self._num_threads
        return parameters

    def encode(self, text: str, *, start: bool = False, special: bool = False) -> list[int]:
        return self._server.tokenize(text, start=start, special=special)

    def chat_template(self) -> ChatTemplate:
        return self._template

    def _request(self, prompt: Prompt, settings: GenerationConfig) -> dict[str, Any]:
        self.check(prompt, settings)
        request = {
            "prompt": prompt.ids,
            "max_tokens": min(settings.max_tokens, self.max_length - prompt.length),
            # Hugging Face's order, which decides what top_k, top_p and min_p cut.
            "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
            "temperature": settings.temperature,
            "top_k": settings.top_k,
            "top_p": settings.top_p,
            "min_p": settings.min_p,
            "repeat_penalty": settings.repetition_penalty,
            "repeat_last_n": self.max_length,
            "seed": settings.seed % _LARGEST_SEED,
            "stream": True,
            "return_progress": True,
            "n_probs": max(1, settings.logprobs or 0),  # The ids of tokens come with their probabilities only.
        }
        grammar = _grammar(settings)
        return request if grammar is None else {**request, "grammar": grammar}

    def _stream(
        self, request: Mapping[str, Any], settings: GenerationConfig, cancelled: Callable[[], bool]
    ) -> Iterator[Piece]:
        events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        left = Event()

        def receive(event: dict[str, Any]) -> bool:
            events.put(event)
            return left.is_set()

        work: Future[None] = self._workers.submit(self._server.complete, request, receive)
        work.add_done_callback(lambda _: events.put(None))
        text = SafeText(settings.stop)  # llama.cpp's own would lose what it holds back when the length ends a text.
        try:
            while (event := events.get()) is not None:
                if "prompt_progress" not in event:
                    piece = _piece(event, settings, text)
                    yield piece
                    if piece.finish is not None:
                        return
                if cancelled():
                    return
            work.result()
        finally:
            left.set()
            wait([work])  # so that its place is free


class _Server:
    """llama.cpp's server in this process; the port that it also opens on the loopback interface wants a secret key."""

    def __init__(self, parameters: Any, *, path: Path) -> None:
        self._key = secrets.token_urlsafe(32)
        parameters.api_keys = [self._key]
        parameters.ui = False
        if not path.is_file():
            raise DataError(f"model {path}", got="no such file", expected="a GGUF file", remedy="Check the path")
        try:
            self._server = _xllamacpp().Server(parameters)
        except RuntimeError as error:
            raise DataError(
                f"model {path}",
                got="a file that llama.cpp cannot load",
                expected="a complete GGUF file with a language model of a kind that the installed llama.cpp knows",
                remedy="Get the file again, or update: pip install --upgrade xllamacpp",
            ) from error

    def complete(self, request: Mapping[str, Any], receive: Callable[[dict[str, Any]], bool]) -> None:
        """Hand each event of the answer to ``receive`` until that answers True."""
        failures: list[dict[str, Any]] = []

        def look(event: dict[str, Any]) -> bool:
            if "error" in event:
                failures.append(event)
            return bool(failures) or receive(event)

        self._server.handle_completions(dict(request), look)
        for failure in failures:
            _checked(failure)

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        answer = _checked(self._server.handle_embeddings({"input": [list(prompt) for prompt in prompts]}))
        return [row["embedding"] for row in answer["data"]]

    def tokenize(self, text: str, *, start: bool = False, special: bool = False) -> list[int]:
        """Token ids; ``start`` adds what a text begins with, ``special`` reads control tokens where they are named."""
        body = {"content": text, "add_special": start, "parse_special": special}
        return cast("list[int]", self.ask("/tokenize", body)["tokens"])

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What only its HTTP face tells."""
        connection = HTTPConnection(self._server.listening_address.removeprefix("http://"))
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
            connection.request(method, path, content, headers)
            return _checked(json.loads(connection.getresponse().read()))
        finally:
            connection.close()


def _checked(answer: Any) -> Any:
    if isinstance(answer, dict) and "error" in answer:
        raise DataError(
            "llama.cpp",
            got=str(answer["error"].get("message")),
            expected="a request that it can answer",
            remedy="Change what the message names",
        )
    return answer


def _piece(event: Mapping[str, Any], settings: GenerationConfig, text: SafeText) -> Piece:
    choice = event["choices"][0]
    text.append(choice["text"].encode())
    finish = "stop" if text.is_stopped else cast("Finish | None", choice["finish_reason"])
    if finish is not None:
        text.close()
    tokens = (choice["logprobs"] or {"content": []})["content"]
    logprobs = []
    if settings.logprobs is not None:
        for token in tokens:
            top = tuple((other["id"], other["logprob"]) for other in token["top_logprobs"][: settings.logprobs])
            logprobs.append(TokenLogprob(token["id"], token["logprob"], top))
    return Piece(text.take(), [token["id"] for token in tokens], logprobs, finish)


def _whole(pieces: Iterable[Piece]) -> Generation:
    parts = list(pieces)
    finish = parts[-1].finish
    assert finish is not None, "a cancelled text, for which nobody waits"
    return Generation(
        "".join(part.text for part in parts),
        [id_ for part in parts for id_ in part.token_ids],
        [logprob for part in parts for logprob in part.logprobs],
        finish,
    )


def _grammar(settings: GenerationConfig) -> str | None:
    """The constraint for llama.cpp's own llguidance, which would ignore one with a mistake: so it is checked before."""
    if settings.regex is not None:
        who, given = "regex", repr(settings.regex)
        rule = "/" + re.sub(r"(\\.)|/|\n", _escaped, settings.regex) + "/"
    elif settings.json_schema is not None:
        who, given = "json_schema", json.dumps(settings.json_schema, ensure_ascii=False)
        layout = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        rule = f"%json {json.dumps({**settings.json_schema, 'x-guidance': layout})}"
    elif settings.grammar is not None and settings.trigger is None:
        return f"%llguidance {{}}\n{settings.grammar}"
    else:
        return None  # nor for what begins after a trigger: such a text is free
    try:
        from llguidance import LLMatcher
    except ImportError as error:
        raise MissingExtraError.of("llguidance", extra="language", purpose="text under a constraint") from error
    reason = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(f"start: {rule}"))
    if reason:
        raise ConfigError(
            who,
            got=f"{given} ({' '.join(reason.split())})",
            expected=f"a {who} that can be enforced",
            remedy=f"Correct the {who}",
        )
    return f"%llguidance {{}}\nstart: {rule}"


def _escaped(found: re.Match[str]) -> str:
    return found[1] or {"/": r"\/", "\n": r"\n"}[found[0]]


def _xllamacpp() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtraError.of("xllamacpp", extra="llamacpp", purpose="engine llamacpp") from error
    return xllamacpp
