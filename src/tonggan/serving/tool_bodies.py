"""Functions that a client lets a model call, and calls that were made, in OpenAI's shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from tonggan.errors import ConfigError
from tonggan.language.constraint import check_schema
from tonggan.language.tools import CallForm, CallReader, Tool, ToolCall
from tonggan.serving.body import Body
from tonggan.serving.config import MAX_GRAMMAR
from tonggan.serving.failures import RefusedError

CALL_ID = r"^[\w-]{1,64}$"
_NAME = r"^[a-zA-Z0-9_-]{1,64}$"


def _is_short(value: dict[str, Any]) -> dict[str, Any]:
    if (length := len(json.dumps(value, ensure_ascii=False))) > MAX_GRAMMAR:
        raise ValueError(f"at most {MAX_GRAMMAR:,} characters as JSON, not {length:,}")
    return value


Schema = Annotated[dict[str, Any], AfterValidator(_is_short)]
"""A JSON schema of bounded length."""


class FunctionBody(Body):
    """A function that may be called; without parameters it has none."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {"strict": (True, False)}

    name: str = Field(pattern=_NAME)
    description: str = ""
    parameters: Schema = Field(
        default_factory=lambda: {"type": "object", "properties": {}, "additionalProperties": False}
    )

    @property
    def tool(self) -> Tool:
        """As the library has it."""
        return Tool(self.name, self.description, self.parameters)


class ToolBody(Body):
    """One of ``tools``."""

    type: Literal["function"]
    function: FunctionBody


class FunctionName(Body):
    """Which function."""

    name: str


class NamedTool(Body):
    """A ``tool_choice`` of one function."""

    type: Literal["function"]
    function: FunctionName


class CalledFunction(Body):
    """What was called, and the arguments as JSON."""

    name: str = Field(pattern=_NAME)
    arguments: str


class CallBody(Body):
    """A call of the history."""

    id: str = Field(default="", pattern=r"^[\w-]{0,64}$")
    type: Literal["function"] = "function"
    function: CalledFunction

    def call(self, *, param: str) -> ToolCall:
        """The call.

        Raises:
            RefusedError: its arguments are no JSON object.
        """
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            where = f"{param}.function.arguments"
            raise RefusedError(
                where, got=repr(self.function.arguments[:80]), expected="a JSON object in a string",
                remedy="Send the arguments back as they came", param=where,
            )  # fmt: skip
        return ToolCall(self.function.name, arguments, self.id)


def require_call_form(form: CallForm | None, *, model: str) -> CallForm:
    """``form``, where there is one.

    Raises:
        RefusedError: the model's template writes no calls.
    """
    if form is None:
        raise RefusedError(
            "tools", got=f"model '{model}', whose chat template writes no calls of functions",
            expected="a model that was trained to call functions, such as Qwen2.5-Instruct or SmolLM3",
            remedy="Serve such a model, or leave out tools and tool_calls", param="tools",
        )  # fmt: skip
    return form


class Calling:
    """How one request calls functions.

    Args:
        form: of the model's template.
        tools: that may be called, at least one.
        choice: ``auto``, ``required`` or a named one.
        many: whether an answer may hold several calls.

    Raises:
        RefusedError: a schema that cannot be enforced.
    """

    def __init__(self, form: CallForm, tools: list[Tool], *, choice: str | NamedTool, many: bool) -> None:
        self._form = form
        self._is_named = isinstance(choice, NamedTool)
        self._name = tools[0].name if self._is_named else ""
        for number, tool in enumerate(tools):
            try:
                check_schema(dict(tool.parameters), who=f"parameters of the function '{tool.name}'")
            except ConfigError as error:
                raise RefusedError(
                    error.who, got=error.got, expected=error.expected, remedy=error.remedy,
                    param=f"tools[{number}].function.parameters",
                ) from error  # fmt: skip
        is_free = choice == "auto"
        self.trigger = form.trigger if is_free else None
        self.begun = "" if is_free else form.opening + (f"{self._name}{form.middle}" if self._is_named else "")
        self.grammar = form.grammar(
            tools,
            before=form.after_trigger if is_free else "",
            is_named=self._is_named,
            many=many and not self._is_named,
        )

    def reader(self) -> CallReader:
        """For one answer."""
        if self.trigger is not None:
            return CallReader(self._form)
        return CallReader(self._form, state="arguments" if self._is_named else "name", name=self._name)
