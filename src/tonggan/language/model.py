"""A text model over an engine that computes token by token.

Which engine computes, and how a next token is chosen, are matters of the parts that it joins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tonggan.errors import DataError
from tonggan.language.chat import ChatTemplate
from tonggan.language.context import Context
from tonggan.language.continuation import Continuation
from tonggan.language.decoding import beam_search
from tonggan.language.engine import Engine
from tonggan.language.lookup import Lookup
from tonggan.language.prompt import Generation, Piece, Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.text_model import Capability, TextModel
from tonggan.language.tokenizer import Tokenizer
from tonggan.progress import Progress
from tonggan.stored import DOWNLOAD
from tonggan.tokens import Tokens

_BATCH_ROWS = 16
_LOGITS_AT_ONCE = 256  # positions; all of a long text would take gigabytes


class LanguageModel(TextModel):
    """An engine and its tokenizer.

    Texts that are streamed one after another share what they have in common at their beginning, as the turns of a chat
    do; an engine whose long and short reads differ in rounding may then choose otherwise between near equals. Threads
    may use one model at the same time.

    Attributes:
        engine: what computes, token by token.
        tokenizer: its vocabulary.
        name: what the model is called in messages and answers.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"beams", "lookup", "log_probabilities", "embeddings"})

    def __init__(self, engine: Engine, tokenizer: Tokenizer, *, name: str) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.name = name
        self.max_length = engine.max_length
        self._contexts: list[Context] = []  # at most one that no stream uses

    def stream(
        self, prompt: Prompt, settings: GenerationConfig, *, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        """The continuation as it grows, one piece for each step; a beam search comes as one.

        It stops without a finish once ``cancelled`` answers True. To stop asking for more is enough, too.

        Raises:
            ConfigError: the settings' regular expression or JSON schema cannot be enforced.
            DataError: the prompt leaves no room in the context.
        """
        if settings.num_beams > 1:
            found = self._search([prompt], settings)[0]
            return iter([Piece(found.text, found.token_ids, found.logprobs, found.finish)])
        return self._stream(prompt, settings, self.continuation(prompt, settings), cancelled)

    def generate(
        self, prompts: Sequence[Prompt], settings: GenerationConfig, *, progress: Progress | None = None
    ) -> list[Generation]:
        """The continuation of each prompt, as ``stream`` gives it, many at a time.

        Prompts of like length go together; with ``settings.lookup`` each goes alone. Nothing is kept from one call to
        the next, so that the same call gives the same texts on every engine.

        Raises:
            ConfigError: the settings' regular expression or JSON schema cannot be enforced.
            DataError: a prompt leaves no room in the context.
        """
        limits = [min(settings.max_tokens, self._room(prompt)) for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda index: (limits[index], prompts[index].length))
        results: dict[int, Generation] = {}
        for _, alike in groupby(order, key=lambda index: limits[index]):
            indices = list(alike)
            size = 1 if settings.lookup else max(1, _BATCH_ROWS // settings.num_beams)
            for first in range(0, len(indices), size):
                batch = indices[first : first + size]
                results.update(zip(batch, self._batch([prompts[index] for index in batch], settings), strict=True))
                if progress is not None:
                    progress.update("generate", done=len(results), total=len(prompts))
        return [results[index] for index in range(len(prompts))]

    @torch.no_grad()
    def sample(
        self, prompt: Prompt, settings: Sequence[GenerationConfig], *, ended: Callable[[str], bool] = lambda _: False
    ) -> list[Generation]:
        found: list[Generation] = []
        for first in range(0, len(settings), _BATCH_ROWS):
            found += self._sample(prompt, settings[first : first + _BATCH_ROWS], ended)
        return found

    def continuation(self, prompt: Prompt, settings: GenerationConfig) -> Continuation:
        """The empty text after ``prompt``, for whoever steps the engine.

        Raises:
            ConfigError: the settings' regular expression or JSON schema cannot be enforced.
            DataError: the prompt leaves no room in the context.
        """
        return Continuation(prompt.ids, settings, self.tokenizer, max_tokens=self._room(prompt))

    @torch.no_grad()
    def log_probabilities(self, prompt: Prompt) -> list[float]:
        """The natural log-probability of each position after the first, given all before it; NaN where no text is.

        Raises:
            DataError: the prompt is longer than the context.
        """
        self._check_length(prompt.length, limit=self.max_length)
        values = prompt.embed(self.engine).unsqueeze(0)
        hidden = self.engine.hidden(values, mask=torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))[
            0, :-1
        ]
        result: list[float] = []
        ids = torch.tensor(prompt.ids[1:])
        for first in range(0, len(ids), _LOGITS_AT_ONCE):
            part, following = hidden[first : first + _LOGITS_AT_ONCE], ids[first : first + _LOGITS_AT_ONCE]
            logprobs = self.engine.logits(part).log_softmax(dim=-1).cpu()
            chosen = logprobs.gather(1, following.clamp(min=0).unsqueeze(1)).squeeze(1)
            result += chosen.masked_fill(following < 0, torch.nan).tolist()
        return result

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """``[N, D]`` float32: the mean of each text's last hidden states.

        Raises:
            DataError: a text is empty, or longer than the context.
        """
        prompts = [self.prompt(text) for text in texts]
        for prompt in prompts:
            self._check_length(prompt.length, limit=self.max_length)
        result = torch.empty(len(texts), self.engine.dim)
        order = sorted(range(len(texts)), key=lambda index: prompts[index].length)
        for first in range(0, len(order), _BATCH_ROWS):
            batch = order[first : first + _BATCH_ROWS]
            values, mask = self._pad([prompts[index] for index in batch])
            hidden = self.engine.hidden(values, mask=mask)
            result[batch] = Tokens(hidden, mask.to(hidden.device)).mean().cpu()
        return result

    def encode(self, text: str, *, start: bool = False, special: bool = False) -> list[int]:
        opening = [self.tokenizer.start] if start and self.tokenizer.start is not None else []
        ids = opening + self.tokenizer.encode(text, special=special)
        if ids and not 0 <= min(ids) <= max(ids) < self.engine.vocab_size:
            raise DataError(
                f"tokenizer of {self.name}",
                got=f"token id {next(id_ for id_ in ids if not 0 <= id_ < self.engine.vocab_size)}",
                expected=f"ids below {self.engine.vocab_size}, for which the model has embeddings",
                remedy=f"{DOWNLOAD}: its tokenizer and its weights do not belong together",
            )
        return ids

    def chat_template(self) -> ChatTemplate:
        return ChatTemplate.of(self.tokenizer)

    def _room(self, prompt: Prompt) -> int:
        """How many tokens may follow."""
        self._check_length(prompt.length, limit=self.max_length - 1)
        return self.max_length - prompt.length

    def _stream(
        self, prompt: Prompt, settings: GenerationConfig, text: Continuation, cancelled: Callable[[], bool]
    ) -> Iterator[Piece]:
        context = self._contexts.pop() if self._contexts else Context(self.engine)
        try:
            known = 0
            for _ in self._grow(context, prompt, settings, text):
                yield Piece(text.take_text(), text.tokens[known:], text.logprobs[known:], text.finished)
                known = len(text.tokens)
                if cancelled():
                    return
        finally:
            self._contexts = [context]

    def _grow(self, context: Context, prompt: Prompt, settings: GenerationConfig, text: Continuation) -> Iterator[None]:
        """Let ``text`` grow to its end, at each step by one token and by those of a draft that prove right."""
        room = min(settings.max_tokens, self._room(prompt))
        lookup = Lookup(prompt.ids, max_tokens=settings.lookup)
        token = text.choose(context.read(prompt, room=room))
        yield
        while text.finished is None:
            lookup.append(token)
            draft = lookup.draft()[: room - len(text.tokens) - 1]
            length = context.length + 1
            accepted = 0
            for logits, guess in zip(context.step([token, *draft]), [*draft, None], strict=True):
                token = text.choose(logits)
                if text.finished is not None or token != guess:
                    break
                lookup.append(token)
                accepted += 1
            if draft:
                context.forget(length + accepted)
                lookup.learn(drafted=len(draft), accepted=accepted)
            yield

    def _batch(self, prompts: Sequence[Prompt], settings: GenerationConfig) -> list[Generation]:
        if settings.num_beams > 1:
            return self._search(prompts, settings)
        if settings.lookup:
            return [self._alone(prompt, settings) for prompt in prompts]
        return self._together(prompts, settings)

    def _alone(self, prompt: Prompt, settings: GenerationConfig) -> Generation:
        text = self.continuation(prompt, settings)
        for _ in self._grow(Context(self.engine), prompt, settings, text):
            pass
        return _whole(text)

    @torch.no_grad()
    def _together(self, prompts: Sequence[Prompt], settings: GenerationConfig) -> list[Generation]:
        """One step for all that go on, until none does."""
        texts = [self.continuation(prompt, settings) for prompt in prompts]
        values, mask = self._pad(prompts)
        limit = min(settings.max_tokens, self._room(prompts[-1]))
        session = self.engine.session(len(prompts), capacity=values.shape[1] + limit)
        rows = torch.arange(len(prompts))
        logits = session.prefill(values, mask=mask, rows=rows)
        while True:
            ids = torch.tensor([texts[row].choose(logits[place]) for place, row in enumerate(rows.tolist())])
            going = torch.tensor([texts[row].finished is None for row in rows.tolist()])
            rows = rows[going]
            if not len(rows):
                return [_whole(text) for text in texts]
            logits = session.step(ids[going].unsqueeze(1), rows=rows)[:, -1]

    def _sample(
        self, prompt: Prompt, settings: Sequence[GenerationConfig], ended: Callable[[str], bool]
    ) -> list[Generation]:
        """One step for all texts that go on, whose rows begin as copies of the first."""
        texts = [self.continuation(prompt, each) for each in settings]
        shown = [""] * len(texts)
        limit = min(max(each.max_tokens for each in settings), self._room(prompt))
        session = self.engine.session(len(texts), capacity=prompt.length + limit)
        rows = torch.arange(len(texts))
        values, mask = self._pad([prompt])
        logits = session.prefill(values, mask=mask, rows=rows[:1]).expand(len(texts), -1)
        session.copy(torch.zeros(len(texts) - 1, dtype=torch.int64), rows=rows[1:])
        while True:
            ids, going = [], []
            for place, row in enumerate(rows.tolist()):
                ids.append(texts[row].choose(logits[place]))
                shown[row] += texts[row].take_text()
                going.append(texts[row].finished is None and not ended(shown[row]))
            rows = rows[torch.tensor(going)]
            if not len(rows):
                pairs = zip(texts, shown, strict=True)
                return [Generation(said, text.tokens, text.logprobs, text.finished or "stop") for text, said in pairs]
            logits = session.step(torch.tensor(ids)[torch.tensor(going)].unsqueeze(1), rows=rows)[:, -1]

    def _search(self, prompts: Sequence[Prompt], settings: GenerationConfig) -> list[Generation]:
        """Beam search; stop strings cut its result."""
        texts = [self.continuation(prompt, settings) for prompt in prompts]
        values, mask = self._pad(prompts)
        found = beam_search(
            self.engine,
            values,
            mask,
            ends=self.tokenizer.ends,
            max_tokens=min(settings.max_tokens, self._room(prompts[-1])),
            num_beams=settings.num_beams,
            length_penalty=settings.length_penalty,
        )
        for text, ids in zip(texts, found.tolist(), strict=True):
            for id_ in ids:
                if text.finished is None:
                    text.append(id_)
        return [_whole(text) for text in texts]

    def _pad(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Embeddings ``[B, L, D]`` and their mask ``[B, L]``."""
        values = pad_sequence([prompt.embed(self.engine) for prompt in prompts], batch_first=True)
        lengths = torch.tensor([prompt.length for prompt in prompts])
        return values, (torch.arange(values.shape[1]) < lengths.unsqueeze(1)).to(values.device)


def _whole(text: Continuation) -> Generation:
    assert text.finished is not None
    return Generation(text.take_text(), text.tokens, text.logprobs, text.finished)
