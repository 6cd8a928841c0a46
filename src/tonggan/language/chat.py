"""Conversations as a model was trained to read them: its chat template, rendered so that no one can forge a role.

What people write is kept apart from what the template writes around it: only the latter is read for control tokens.
It holds no tokenizer and no weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from tonggan.errors import DataError
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.tools import CallForm, Tool, ToolCall, as_json, find_call_form
from tonggan.stored import named

ROLES = ("system", "user", "assistant", "tool")
"""Who may speak."""
_PLAIN = (
    "{{ bos_token }}{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
# A content goes through the template as a private-use character for each of its parts, between spaces that no template
# writes: where they are gone, the template trims.
_FIRST, _SPACE = 0xF0000, "\u2003"


@dataclass(frozen=True)
class TextPart:
    """What someone wrote."""

    text: str


@dataclass(frozen=True)
class ImagePart:
    """A picture, as the bytes of its file."""

    content: bytes


@dataclass(frozen=True)
class AudioPart:
    """A recording, as the bytes of its file."""

    content: bytes


Part = TextPart | ImagePart | AudioPart


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: one of ``ROLES``.
        content: a text, or parts in their order.
        tool_calls: of functions, that the assistant made in this turn.
        call_id: of the call that a message of a tool answers.
    """

    role: str
    content: str | tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str = ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts; none beside calls that say nothing else."""
        if self.tool_calls and not self.content:
            return ()
        return (TextPart(self.content),) if isinstance(self.content, str) else self.content


class ChatTemplate:
    """A Jinja template in Hugging Face's conventions, run in a sandbox.

    Args:
        source: the template; it sees ``messages``, ``tools`` and ``add_generation_prompt``, but not the time.
        start: what it sees as ``bos_token``: the text of the token that opens a sequence.
        end: what it sees as ``eos_token``: the text of the token that ends one.

    Raises:
        DataError: ``source`` is no template.
    """

    def __init__(self, source: str, *, start: str = "", end: str = "") -> None:
        from jinja2.meta import find_undeclared_variables
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = as_json
        with named("chat template", expected="a Jinja template", remedy="Correct it in the model's files"):
            self._template = environment.from_string(source)
            self._knows_tools = "tools" in find_undeclared_variables(environment.parse(source))
        self._tokens = {"bos_token": start, "eos_token": end}

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """The template that came with ``tokenizer``; where none did, ``User: …`` and ``Assistant: …`` on lines."""
        names = tokenizer.names
        return cls(tokenizer.chat_template or _PLAIN, start=names.get("bos_token", ""), end=names.get("eos_token", ""))

    @cached_property
    def call_form(self) -> CallForm | None:
        """How calls of functions are written; None where the template knows no tools, or writes no calls."""
        if not self._knows_tools:
            return None
        tool = Tool("probe", "", {"type": "object", "properties": {}}).to_dict()
        return find_call_form(
            lambda messages, opens: self._template.render(
                messages=messages, add_generation_prompt=opens, tools=[tool], **self._tokens
            )
        )

    def split(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), add_generation_prompt: bool = True
    ) -> list[str | Part]:
        """The conversation in order: texts of the template, to be read with their control tokens, and parts, without.

        Args:
            messages: at least one.
            tools: that the assistant may call.
            add_generation_prompt: open the turn of the assistant at the end.

        Raises:
            DataError: an unknown role, no message, or a conversation that the template cannot express.
        """
        _check(messages)
        parts: list[Part] = []
        shown = []
        for message in messages:
            marks = "".join(chr(_FIRST + len(parts) + number) for number in range(len(message.parts)))
            parts += message.parts
            turn: dict[str, Any] = {"role": message.role, "content": f"{_SPACE}{marks}{_SPACE}" if marks else ""}
            if message.tool_calls:
                turn["tool_calls"] = [call.to_dict() for call in message.tool_calls]
            if message.call_id:
                turn["tool_call_id"] = message.call_id
            shown.append(turn)
        text = self._render(shown, tools, add_generation_prompt=add_generation_prompt)
        speakers = [message.role for message in messages for _ in message.parts]
        for number, role in enumerate(speakers):
            if chr(_FIRST + number) not in text:
                raise DataError(
                    "conversation",
                    got=f"a message of the role '{role}' that the model's chat template leaves out",
                    expected="roles that it writes",
                    remedy="Put its text into a message of the user",
                )
        return list(_pieces(text, parts))

    def _render(self, messages: list[dict[str, Any]], tools: Sequence[Tool], *, add_generation_prompt: bool) -> str:
        with named(
            "conversation, which the model's chat template refuses",
            expected="roles in an order that it allows",
            remedy="Change the roles or their order",
        ):
            return self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                tools=[tool.to_dict() for tool in tools] or None,
                **self._tokens,
            )


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise DataError("conversation", got="no message", expected="at least one", remedy="Add a message of the user")
    for number, message in enumerate(messages, start=1):
        if message.role not in ROLES:
            raise DataError(
                f"message {number} of the conversation",
                got=f"role '{message.role}'",
                expected=f"one of {', '.join(ROLES)}",
                remedy="Correct the role",
            )


def _refuse(message: str) -> NoReturn:
    """What templates call ``raise_exception``."""
    from jinja2 import TemplateError

    raise TemplateError(message)


def _pieces(text: str, parts: Sequence[Part]) -> Iterator[str | Part]:
    """``text`` with its marks replaced by ``parts``, stripped at the sides where the template took the space away."""
    pattern = f"({_SPACE}?)([{chr(_FIRST)}-{chr(_FIRST + len(parts))}]+)({_SPACE}?)"
    before = 0
    for found in re.finditer(pattern, text):
        if found.start() > before:
            yield text[before : found.start()]
        content = [parts[ord(mark) - _FIRST] for mark in found[2]]
        if not found[1]:
            content[0] = _stripped(content[0], str.lstrip)
        if not found[3]:
            content[-1] = _stripped(content[-1], str.rstrip)
        yield from content
        before = found.end()
    if before < len(text):
        yield text[before:]


def _stripped(part: Part, strip: Callable[[str], str]) -> Part:
    return TextPart(strip(part.text)) if isinstance(part, TextPart) else part
