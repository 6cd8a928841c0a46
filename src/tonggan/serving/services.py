"""What a server serves: models that write texts or recordings down, runs that read rows, a repository to search."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tonggan.codelm.editor.answers import hit_of
from tonggan.codelm.editor.indexing import Indexing
from tonggan.codelm.training.adapters import is_code_run, open_code_model
from tonggan.codelm.units import UnitKind
from tonggan.decoders import LanguageHead
from tonggan.errors import ConfigError
from tonggan.language.chat import Message
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.opening import AUTO, engine_for, engine_kinds, open_model
from tonggan.language.prompt import Prompt
from tonggan.language.text_model import TextModel
from tonggan.language.tools import CallForm
from tonggan.models.transcriber import WhisperTranscriber, is_whisper
from tonggan.models.voice import Voice, is_voice
from tonggan.progress import Progress
from tonggan.recommendation.recommender import Recommender, is_recommender, open_recommender
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import is_run
from tonggan.runs.speaker import Speaker
from tonggan.runs.transcribing import RunTranscriber, can_transcribe
from tonggan.serving.batcher import Batcher
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.infill_prompt import infill_prompt
from tonggan.serving.media import MediaLimits, bytes_of_url
from tonggan.serving.rows import Row, RowModel
from tonggan.serving.scheduler import Scheduler
from tonggan.serving.search_body import SearchRequest
from tonggan.serving.speech import SpeechService
from tonggan.serving.voice import VoiceService
from tonggan.serving.writer import Streams, Writer
from tonggan.space.conditions import conditions
from tonggan.space.index import SpaceIndex

_EMBEDDED_AT_ONCE = 2048
"""Tokens, padding included."""
_REFRESHED_EVERY = 60.0  # seconds, at most, and only while somebody searches


@dataclass
class Passage:
    """A text to embed.

    Attributes:
        text: the text.
        length: its tokens.
        cancelled: nobody waits for its vector any more.
    """

    text: str
    length: int
    cancelled: bool = False


class TextService:
    """A model that writes texts, with what lets many requests share it.

    Args:
        model: a ``LanguageModel``, or another one that batches by itself.
        config: how much at once.
        conversation: makes the prompt of a conversation; the model's own by default.
        infill: the control tokens to fill in with; those that the vocabulary names by default.
    """

    def __init__(
        self,
        model: TextModel,
        *,
        config: ServerConfig,
        conversation: Callable[[Sequence[Message]], Any] | None = None,
        infill: InfillTokens | None = None,
    ) -> None:
        self.model = model
        self.conversation: Callable[..., Any] = conversation or model.prompt
        self._reads_conversations = conversation is None
        self.tokenizer = model.tokenizer if isinstance(model, LanguageModel) else None
        self.infill = infill or InfillTokens.of(model)
        self.writer: Writer
        if isinstance(model, LanguageModel):
            self.writer = Scheduler(model, slots=config.slots, queue=config.queue, max_length=config.max_length)
        else:
            self.writer = Streams(model, slots=config.slots, queue=config.queue)
        self.embeddings = Batcher(self._embed, max_items=config.batch_rows, wait=config.batch_wait, queue=config.queue)

    def completion(self, prompt: str | list[int], *, suffix: str | None) -> Any:
        """The prompt of a text to continue, or of one to fill in before ``suffix``.

        Raises:
            RefusedError: token ids that are none, or a model that cannot do it.
            DataError: nothing to continue.
        """
        if isinstance(prompt, str):
            if suffix is None:
                return self.model.prompt(prompt)
            return infill_prompt(self.model, prompt, suffix=suffix, infill=self.infill)
        if not isinstance(self.model, LanguageModel):
            raise self._lacks_tokenizer("prompt", got="token ids")
        vocab_size = self.model.engine.vocab_size
        if not prompt or suffix is not None or not all(0 <= id_ < vocab_size for id_ in prompt):
            raise RefusedError(
                "prompt",
                got="token ids",
                expected=f"one or more from 0 to {vocab_size - 1}, without a suffix",
                remedy="Send the text itself",
                param="prompt",
            )
        return Prompt((torch.tensor(prompt),))

    @cached_property
    def call_form(self) -> CallForm | None:
        """How the model calls functions; None where it does not, or reads other things than conversations."""
        return self.model.chat_template().call_form if self._reads_conversations else None

    def require_tokens(self, param: str) -> None:
        """Nothing, where the model tells its tokens, which ``param`` needs.

        Raises:
            RefusedError: it does not.
        """
        if self.tokenizer is None:
            raise self._lacks_tokenizer(param, got="a request for tokens")

    def bytes_of(self, id_: int) -> bytes:
        """The bytes that a token stands for, of a model that tells."""
        assert self.tokenizer is not None
        return self.tokenizer.bytes_of(id_)

    def close(self) -> None:
        """Finish what was begun, then free the threads."""
        self.embeddings.close()
        self.writer.close()

    def _embed(self, passages: Sequence[Passage]) -> list[Tensor]:
        """A vector for each; a few at a time, so that the texts being written go on between them."""
        vectors = [torch.empty(0)] * len(passages)
        for group in _groups([passage.length for passage in passages]):
            going = [number for number in group if not passages[number].cancelled]
            if going:
                texts = [passages[number].text for number in going]
                found: Tensor = self.writer.call(partial(self.model.embed, texts)).result()
                for number, vector in zip(going, found, strict=True):
                    vectors[number] = vector
        return vectors

    def _lacks_tokenizer(self, param: str, *, got: str) -> RefusedError:
        return RefusedError(
            param,
            got=got,
            expected=f"text only: {self.model.reads} keeps its tokens to itself",
            remedy="Leave it out, or serve the model with another --engine",
            param=param,
        )


class RowService:
    """A trained run that reads rows.

    Args:
        bundle: the run.
        config: limits of files and batches.
    """

    def __init__(self, bundle: Bundle, *, config: ServerConfig) -> None:
        self.model = RowModel(bundle, config=config)
        self.predictions: Batcher[Row, dict[str, Any]] = Batcher(
            self.model.predict, max_items=config.batch_rows, wait=config.batch_wait, queue=config.queue
        )
        self.embeddings: Batcher[Row, Tensor] = Batcher(
            self.model.embed, max_items=config.batch_rows, wait=config.batch_wait, queue=config.queue
        )

    def close(self) -> None:
        """Finish what was begun, then free the threads."""
        self.predictions.close()
        self.embeddings.close()


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of texts that go through a model together: of like lengths, with few tokens in all."""
    groups: list[list[int]] = [[]]
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        if groups[-1] and (len(groups[-1]) + 1) * lengths[number] > _EMBEDDED_AT_ONCE:
            groups.append([])
        groups[-1].append(number)
    return groups


@dataclass(frozen=True)
class Service:
    """One entry of ``/v1/models``."""

    name: str
    texts: TextService | None = None
    rows: RowService | None = None
    speech: SpeechService | None = None
    voice: VoiceService | None = None
    recommender: Recommender | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    def close(self) -> None:
        """Finish what was begun."""
        for part in (self.texts, self.rows, self.speech, self.voice):
            if part is not None:
                part.close()


def open_services(
    names: Sequence[str],
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    config: ServerConfig,
    progress: Progress,
) -> list[Service]:
    """A service for each of ``names``, called by the last part of its path.

    Args:
        names: folders of runs, those of code training too, or what ``open_model`` opens.
        engine: of language models; of runs one that computes with weights in memory.
        bits: of each weight.
        config: limits.
        progress: told what is opened.

    Raises:
        ConfigError: two of them have one name.
        TongganError: one cannot be opened.
    """
    called = [Path(name).stem if Path(name).suffix in (".gguf", ".tonggan") else Path(name).name for name in names]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            "models to serve",
            got=f"two that are called '{twice}'",
            expected="names that differ",
            remedy="Rename one of the folders or files",
        )
    services = []
    for path, name in progress.track(list(zip(names, called, strict=True)), label="Opening models"):
        if is_recommender(Path(path)):
            services.append(Service(name, recommender=open_recommender(Path(path))))
        elif is_run(Path(path)):
            services.append(_open_run(Path(path), name, engine, bits, config, progress))
        elif is_whisper(path):
            services.append(Service(name, speech=SpeechService(WhisperTranscriber.load(path), config=config)))
        elif is_voice(path):
            services.append(Service(name, voice=VoiceService(Voice(path), config=config)))
        elif is_code_run(Path(path)):
            model, infill = open_code_model(path, engine=engine, bits=bits, progress=progress)
            services.append(Service(name, texts=TextService(model, config=config, infill=infill)))
        else:
            opened = open_model(
                path,
                engine=engine,
                bits=bits,
                max_length=config.max_length if _reserves(engine) else None,
                num_parallel=config.slots,
                progress=progress,
            )
            services.append(Service(name, texts=TextService(opened, config=config)))
    return services


def _open_run(
    folder: Path,
    name: str,
    engine: str,
    bits: Literal[4, 8] | None,
    config: ServerConfig,
    progress: Progress,
) -> Service:
    bundle = Bundle.load(folder)
    rows = RowService(bundle, config=config)
    speech = SpeechService(RunTranscriber(bundle, name=name), config=config) if can_transcribe(bundle) else None
    head = None if bundle.network is None else bundle.network.head
    if not isinstance(head, LanguageHead):
        return Service(name, rows=rows, speech=speech)
    chosen = engine_for(head.merged(), engine=engine, bits=bits, progress=progress)
    speaker = Speaker(bundle, engine=chosen, name=name)
    return Service(
        name, texts=TextService(speaker.model, config=config, conversation=speaker.prompt), rows=rows, speech=speech
    )


def _reserves(engine: str) -> bool:
    """Whether ``engine`` takes room for the whole context of all texts at once."""
    kind = engine_kinds().get(engine)
    return kind is not None and "num_parallel" in kind.model_fields


class SearchService:
    """Searches an index of rows, one search after another.

    Args:
        index: the open index.
        config: limits of pictures and recordings.
    """

    def __init__(self, index: SpaceIndex, *, config: ServerConfig) -> None:
        self.name = index.folder.name
        self._index, self._config = index, config
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="tonggan-search")

    def search(self, asked: SearchRequest) -> Future[list[dict[str, Any]]]:
        """Hits as JSON, the best first."""
        return self._searcher.submit(self._search, asked)

    def close(self) -> None:
        """Finish what was begun."""
        self._searcher.shutdown()
        self._index.close()

    def _search(self, asked: SearchRequest) -> list[dict[str, Any]]:
        where = conditions(asked.where, self._index.info.fields)
        how: dict[str, Any] = {"inputs": asked.columns, "limit": asked.limit, "exact": asked.exact}
        for name in asked.row or {}:
            if self._index.info.fields.get(name) == "file":
                raise RefusedError(
                    f"row.{name}",
                    got="a file by its path",
                    expected="cells of texts and numbers",
                    remedy="Send files as image, audio or video; this server opens no path",
                    param="row",
                )
        if asked.key is not None:
            hits = self._index.similar(asked.key, where=where, **how)
        else:
            limits = MediaLimits(self._config)
            files = ("image", "audio", "video")
            media: dict[str, Any] = {name: self._content(getattr(asked, name), name, limits) for name in files}
            hits = self._index.search(asked.query, row=asked.row, where=where, **how, **media)
        return [hit.to_dict() for hit in hits]

    @staticmethod
    def _content(url: str | None, name: str, limits: MediaLimits) -> bytes | None:
        if url is None:
            return None
        raw = bytes_of_url(url, param=name)
        limits.check(raw, param=name)
        return raw


class CodeService:
    """Answers one search after another.

    Args:
        indexing: keeps the index.
    """

    def __init__(self, indexing: Indexing) -> None:
        self._indexing = indexing
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="tonggan-code")
        self._refreshed = time.monotonic()
        indexing.start(lambda _: None)

    def search(
        self, query: str, *, limit: int, language: str | None, kinds: Collection[UnitKind] | None
    ) -> Future[list[dict[str, Any]]]:
        """Hits as JSON, the best first; the future raises a RefusedError while there is no index yet."""
        if time.monotonic() - self._refreshed > _REFRESHED_EVERY:
            self._refreshed = time.monotonic()
            self._indexing.request()
        return self._searcher.submit(self._search, query, limit, language, kinds)

    def close(self) -> None:
        """Finish what was begun, and stop refreshing."""
        self._searcher.shutdown()
        self._indexing.close()

    def _search(
        self, query: str, limit: int, language: str | None, kinds: Collection[UnitKind] | None
    ) -> list[dict[str, Any]]:
        index = self._indexing.current({})
        if index is None:
            raise RefusedError(
                "code search",
                got="an index that is not there yet",
                expected="one that can be read",
                remedy="Try again in a moment",
                status=503,
                code="index_not_ready",
            )
        return [
            hit_of(hit, root=index.root) for hit in index.search(query, limit=limit, language=language, kinds=kinds)
        ]
