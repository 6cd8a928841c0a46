"""What a model proposes: prompts of the file, the repository and the words, continued, filled in, or asked in a chat.

How a model is asked hangs on what its vocabulary and its template have, never on its name. Nothing is judged here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tonggan.codelm.completion.context import ContextFinder
from tonggan.codelm.completion.document import Document, Snippet
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.codelm.writing.request import Request
from tonggan.grammars import title_line
from tonggan.language.chat import Message
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.text_model import TextModel

_MOST_TOKENS = 384
_BUDGET = 1536  # tokens of a prompt
_SNIPPETS_SHARE, _AFTER_SHARE = 0.4, 0.2
_BATCH = 8
_TEMPERATURES = (0.3, 0.8)
_FENCE = "```"


@dataclass(frozen=True)
class Draw:
    """One text.

    Attributes:
        written: what follows the place, or the whole new function.
        source: how the model was asked, or where it is copied from, for a person.
        logprob: mean of its tokens; None where no model wrote it.
        is_whole: it ended by itself.
    """

    written: str
    source: str
    logprob: float | None
    is_whole: bool


class Sampler:
    """Draws texts for one place.

    Args:
        model: of any engine.
        infill: control tokens to fill in with; None where it has none.
        request: the place.
        workspace: the files around, with the index where there is one.
        seed: of the draws.

    Attributes:
        prompts: by how the model is asked: ``continued`` or ``filled in``, and ``asked`` where it has a template.
    """

    def __init__(
        self, model: TextModel, *, infill: InfillTokens | None, request: Request, workspace: Workspace, seed: int = 0
    ) -> None:
        self._model = model
        self._infill = infill
        self._request = request
        self._seed = seed
        self._snippets = _context(request, workspace)
        self._workspace = workspace
        # Tokens join the last blank of an indentation with the word behind it.
        self._opening = f"{request.indent}def" + (f" {request.name}(" if request.name else "")
        if request.header:
            self._opening = f"\n{request.margin[:-1]}"
        self._most = min(_MOST_TOKENS, model.max_length // 2)
        self._budget = min(_BUDGET, model.max_length - self._most)
        ways = {"continued" if infill is None else "filled in": self._continuing}
        if not isinstance(model, LanguageModel) or model.tokenizer.chat_template is not None:
            ways["asked"] = self._asking
        made = {name: make() for name, make in ways.items()}
        self.prompts = {name: prompt for name, prompt in made.items() if prompt.length + self._most <= model.max_length}

    def draw(self, count: int, *, deadline: float) -> Iterator[list[Draw]]:
        """Texts in batches: of each way the likeliest one, then random ones, the more daring the later.

        Args:
            count: of all together.
            deadline: on the monotonic clock; texts end then.
        """
        plans = [(name, 0.0) for name in self.prompts]
        for number in range(max(0, count - len(plans))):
            names = list(self.prompts)
            plans.append((names[number % len(names)], _TEMPERATURES[number // len(names) % len(_TEMPERATURES)]))
        plans = plans[:count]
        for first in range(0, count, _BATCH):
            batch = list(enumerate(plans[first : first + _BATCH], start=first))
            found: list[Draw] = []
            for name in self.prompts:
                chosen = [(number, temperature) for number, (other, temperature) in batch if other == name]
                if chosen and time.monotonic() < deadline:
                    found += self._sample(name, chosen, deadline)
            yield found
            if time.monotonic() >= deadline:
                return

    def _sample(self, name: str, chosen: Sequence[tuple[int, float]], deadline: float) -> list[Draw]:
        settings = [
            GenerationConfig(max_tokens=self._most, logprobs=0, top_p=0.95, temperature=heat, seed=self._seed + number)
            for number, heat in chosen
        ]
        draws = self._model.sample(
            self.prompts[name],
            settings,
            ended=lambda text: self._end(text) is not None or time.monotonic() >= deadline,
        )
        found = []
        for each in draws:
            end = self._end(each.text)
            logprobs = [token.logprob for token in each.logprobs]
            mean = math.fsum(logprobs) / max(1, len(logprobs))
            text = each.text[: end if end is not None else len(each.text)]
            is_whole = end is not None or (each.finish == "stop" and time.monotonic() < deadline)
            opening = f"\n{self._request.margin}" if self._request.header else self._opening.lstrip()
            written = opening + (text.lstrip(" \t") if self._request.header else text)
            found.append(Draw(written.rstrip(), name, mean, is_whole))
        return found

    def _end(self, text: str) -> int | None:
        """After how many characters the function ends; None while it goes on."""
        return end_of_function(text, indent=self._request.indent)

    def _continuing(self) -> Prompt:
        """The file up to the place after snippets of the repository, and what follows where the model fills in."""
        request = self._request
        above = request.before.removesuffix(request.header) if request.header else request.head
        before = above + _said(request) + request.header + self._opening
        suffix: list[int] = []
        if self._infill is not None:
            suffix = self._fitting(f"\n{request.after}", int(self._budget * _AFTER_SHARE), keep_end=False)
        room = self._budget - len(suffix) - 3
        head = self._snippet_text(int(room * _SNIPPETS_SHARE)) + title_line(request.file, "python")
        ids = self._model.encode(head, start=self._infill is None)
        ids += self._fitting(before, room - len(ids), keep_end=True)
        return Prompt((torch.tensor(self._infill.spm(ids, suffix) if self._infill is not None else ids),))

    def _asking(self) -> Prompt:
        """The words in a turn of the user, and an answer that has begun with the function's head."""
        request = self._request
        told = f"Write the Python function {request.name or 'that is described'} of the file {request.file}."
        head = request.header + self._opening
        examples = "\n".join(example.source for example in request.examples)
        code = self._snippet_text(int(self._budget * _SNIPPETS_SHARE / 2))
        parts = [told, request.what]
        if examples:
            parts.append(f"These must be true:\n{_FENCE}python\n{examples}\n{_FENCE}")
        if code:
            parts.append(f"Code of the same repository:\n{_FENCE}python\n{code.rstrip()}\n{_FENCE}")
        if request.header:
            parts.append(f"Complete this function:\n{_FENCE}python\n{request.header}\n{_FENCE}")
        prompt = self._model.prompt([Message("user", "\n\n".join(part for part in parts if part))])
        answer = self._model.encode(f"{_FENCE}python\n{head}")
        return Prompt((torch.tensor(prompt.ids + answer),))

    def _snippet_text(self, room: int) -> str:
        """The best snippets that fit; the better one stands nearer to the place."""
        text = ""
        for snippet in self._snippets:
            longer = f"{title_line(self._workspace.name_of(snippet.path), 'python')}{snippet.text.rstrip()}\n\n{text}"
            if len(self._model.encode(longer)) <= room:
                text = longer
        return text

    def _fitting(self, text: str, room: int, *, keep_end: bool) -> list[int]:
        """The ids of as many whole lines as fit."""
        lines = text.split("\n")
        while len(lines) > 1 and len(self._model.encode("\n".join(lines))) > room:
            lines = lines[max(1, len(lines) // 8) :] if keep_end else lines[: -max(1, len(lines) // 8)]
        ids = self._model.encode("\n".join(lines))
        return ids[-room:] if keep_end else ids[:room]


def end_of_function(text: str, *, indent: str) -> int | None:
    """After how many characters a function ends whose ``def`` is indented by ``indent``; None while it goes on.

    Args:
        text: what follows the beginning of the function.
        indent: of its ``def``.
    """
    place = text.find("\n")
    while place >= 0:
        line = text[place + 1 :].partition("\n")[0]
        body = line.lstrip(" \t")
        own = len(line) - len(body)
        is_open = text.count('"""', 0, place) % 2 or text.count("'''", 0, place) % 2
        is_closing = body.startswith((")", "]", "}"))
        if body and own <= len(indent) and not is_open and not is_closing:
            return place
        place = text.find("\n", place + 1)
    return None


def _said(request: Request) -> str:
    """The words and examples as comments above the function, where a model that continues reads them."""
    lines = [] if request.what.strip() in request.header else request.what.strip().split("\n")
    lines += [example.source for example in request.examples]
    return "".join(f"{request.indent}# {line}\n" for line in lines if line.strip())


def _context(request: Request, workspace: Workspace) -> list[Snippet]:
    """What of the repository helps at the place."""
    text = f"{request.before}\n{request.after}"
    document = Document(request.path, text, "python")
    syntax = Syntax.of(text, "python")
    return ContextFinder(workspace, Modules(workspace)).find(document, len(request.before), syntax=syntax)
