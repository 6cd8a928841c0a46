"""Functions that a model may call: how its chat template writes calls, a grammar of them, and calls read from a text.

Which form calls have is found by rendering some, never by a model's name. Nothing is called here.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_PROBES = ("first_probe", "second_probe")
_KEY, _VALUE, _CONTENT = "key_probe", "value_probe", "content probe"
_TAG = re.compile(r"<[^\s<>]+>|\[[A-Z_]+\]")
# Texts that may be control tokens of some vocabulary; within JSON their first character can be written otherwise.
_CONTROL = re.compile(r"<(?=[^\s<>]+>)|\[(?=/?[A-Z_]+\])")


@dataclass(frozen=True)
class Tool:
    """A function that may be called.

    Attributes:
        name: of letters, digits, ``_`` and ``-``.
        description: what it is for.
        parameters: a JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As chat templates take it."""
        about = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": about}


@dataclass(frozen=True)
class ToolCall:
    """A call that was made.

    Attributes:
        name: of the function.
        arguments: by name.
        id: of the call.
    """

    name: str
    arguments: Mapping[str, Any]
    id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As chat templates take it."""
        function = {"name": self.name, "arguments": dict(self.arguments)}
        return {"id": self.id, "type": "function", "function": function}


def as_json(value: Any, **_: Any) -> str:
    """JSON for a prompt, in which no text is read as a control token."""
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) if '"' in text else text


@dataclass(frozen=True)
class CallForm:
    """How a template writes calls: ``opening NAME middle ARGUMENTS closing``, or ``between`` and another name instead.

    Attributes:
        opening: before the name.
        middle: between the name and the arguments as JSON.
        closing: after the arguments of the last call.
        between: after the arguments of another one, up to the next name; None where an answer holds one call.
    """

    opening: str
    middle: str
    closing: str
    between: str | None

    @property
    def trigger(self) -> str:
        """What of the opening tells that no plain text follows: its last tag, else all of it."""
        tags = _TAG.findall(self.opening)
        return tags[-1] if tags else self.opening.strip()

    @property
    def after_trigger(self) -> str:
        """The rest of the opening."""
        return self.opening.rpartition(self.trigger)[2]

    def grammar(self, tools: Sequence[Tool], *, before: str, is_named: bool, many: bool) -> str:
        """A grammar of calls (llguidance's Lark).

        Args:
            tools: that may be called.
            before: what stands before the first name.
            is_named: the name of the only tool, and what follows it, stand there already.
            many: whether further calls may follow.
        """
        layout = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        parts = [_quoted(before)] if before else []
        parts.append("args_0" if is_named else "call")
        if many and self.between is not None:
            parts.append(f"({_quoted(self.between)} call)*")
        if self.closing:
            parts.append(_quoted(self.closing))
        lines = [f"start: {' '.join(parts)}", f"call: {' | '.join(f'call_{number}' for number in range(len(tools)))}"]
        for number, tool in enumerate(tools):
            schema = json.dumps({**tool.parameters, "x-guidance": layout})
            lines.append(f"call_{number}: {_quoted(tool.name + self.middle)} args_{number}")
            lines.append(f"args_{number}: %json {schema}")
        return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def find_call_form(render: Callable[[list[dict[str, Any]], bool], str]) -> CallForm | None:
    """How a template writes calls; None where it writes none, or in a way that is not understood.

    Args:
        render: writes messages, with the opening of an answer where asked.
    """
    question: dict[str, Any] = {"role": "user", "content": "question"}

    def answered(**answer: Any) -> str:
        prompt = render([question], True)
        whole = render([question, {"role": "assistant", **answer}], False)
        common = next((place for place, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
        # What follows the opening of an answer, which some templates end with white space that others write themselves.
        return whole[common:] if not prompt[common:].strip() else ""

    calls = [ToolCall(name, {_KEY: _VALUE}, id="callprobe").to_dict() for name in _PROBES]
    try:
        plain = answered(content=_CONTENT)
        end = plain.partition(_CONTENT)[2]
        one = answered(content="", tool_calls=calls[:1])
    except Exception:  # noqa: BLE001 - a template may fail in any way
        return None
    opening, middle, tail = _parts(one, _PROBES[0])
    if tail is None or not opening.strip():
        return None
    closing = tail.removesuffix(end)
    try:
        two = answered(content="", tool_calls=calls)
    except Exception:  # noqa: BLE001 - some templates write one call only
        two = ""
    rest = _parts(two, _PROBES[0])[2] or ""
    between, again, last = _parts(rest, _PROBES[1])
    is_many = last is not None and again == middle and last.removesuffix(end) == closing
    return CallForm(opening, middle, closing, between if is_many else None)


def _parts(text: str, name: str) -> tuple[str, str, str | None]:
    """What stands before a name, between it and its arguments, and after these; None where they are not there."""
    opening, found, rest = text.partition(name)
    middle, written, tail = rest.partition(as_json({_KEY: _VALUE}))
    return opening, middle, tail if found and written else None


_State = Literal["text", "opening", "name", "arguments", "ending"]


@dataclass
class CallReader:
    """Reads calls out of a text that grows.

    Args:
        form: how calls are written.
        state: what comes first: plain text, a name, or the arguments of ``name``.
        name: of the function whose arguments come first.
        num_calls: that were read before.
    """

    form: CallForm
    state: _State = "text"
    name: str = ""
    num_calls: int = 0
    _buffer: str = ""
    _depth: int = 0
    _in_string: bool = False
    _escaped: bool = False
    _begun: bool = False

    def feed(self, text: str, *, is_last: bool = False) -> Iterator[dict[str, Any]]:
        """Parts of a message as OpenAI streams them: ``content``, or ``tool_calls`` with one entry.

        Args:
            text: that follows what was fed before.
            is_last: nothing follows; what was held back is text after all.
        """
        if self.state == "arguments" and not self._begun:
            yield self._begin(self.name)
        self._buffer += text
        while (part := self._step()) is not None:
            if part:
                yield part
        is_content = self.state in ("text", "opening") and (self._buffer.strip() or not self.num_calls)
        if is_last and is_content and self._buffer:
            yield {"content": self._buffer}
            self._buffer = ""

    def _step(self) -> dict[str, Any] | None:
        """The next part; an empty one where only the state has changed, None where more text is needed."""
        steps = {
            "text": self._text, "opening": self._opened, "name": self._named, "arguments": self._argued,
            "ending": self._ended,
        }  # fmt: skip
        return steps[self.state]()

    def _text(self) -> dict[str, Any] | None:
        before, found, after = self._buffer.partition(self.form.trigger)
        if found:
            self._buffer, self.state = after, "opening"
            return {"content": before.rstrip()} if before.strip() else {}
        trigger = self.form.trigger
        held = next((size for size in range(len(trigger) - 1, 0, -1) if before.endswith(trigger[:size])), 0)
        kept = len(before) - held
        kept = len(before[:kept].rstrip()) if kept else 0  # White space before a call is no content.
        shown, self._buffer = before[:kept], before[kept:]
        return {"content": shown} if shown else None

    def _opened(self) -> dict[str, Any] | None:
        return self._follow([(self.form.after_trigger, "name")])

    def _ended(self) -> dict[str, Any] | None:
        more: list[tuple[str, _State]] = [] if self.form.between is None else [(self.form.between, "name")]
        return self._follow([*more, (self.form.closing, "text")])

    def _follow(self, ways: list[tuple[str, _State]]) -> dict[str, Any] | None:
        """Skip the first of some texts that comes, and go on in its state; what is none of them is plain text."""
        for literal, state in ways:
            if self._buffer.startswith(literal):
                self._buffer, self.state = self._buffer[len(literal) :], state
                return {}
            if literal.startswith(self._buffer):
                return None
        self.state = "text"
        return {}

    def _named(self) -> dict[str, Any] | None:
        name, found, rest = self._buffer.partition(self.form.middle)
        if not found:
            return None
        self._buffer, self.state = rest, "arguments"
        return self._begin(name)

    def _begin(self, name: str) -> dict[str, Any]:
        self._begun, self._depth, self._in_string, self._escaped = True, 0, False, False
        self.num_calls += 1
        head = {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": name, "arguments": ""}}
        return {"tool_calls": [{"index": self.num_calls - 1, **head}]}

    def _argued(self) -> dict[str, Any] | None:
        if not self._buffer:
            return None
        for place, character in enumerate(self._buffer, start=1):
            if self._in_string:
                self._in_string = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
            elif character == '"':
                self._in_string = True
            else:
                self._depth += (character in "{[") - (character in "}]")
                if not self._depth:
                    shown, self._buffer = self._buffer[:place], self._buffer[place:]
                    self.state = "ending"
                    return self._part(shown)
        shown, self._buffer = self._buffer, ""
        return self._part(shown)

    def _part(self, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": self.num_calls - 1, "function": {"arguments": arguments}}]}


def merged(parts: Iterator[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The content and the calls of a whole message."""
    content, calls = "", []
    for part in parts:
        content += part.get("content", "")
        for each in part.get("tool_calls", ()):
            if "id" in each:
                calls.append({"id": each["id"], "type": "function", "function": dict(each["function"])})
            else:
                calls[each["index"]]["function"]["arguments"] += each["function"]["arguments"]
    return content, calls
