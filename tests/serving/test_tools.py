"""``tools`` and ``tool_choice`` of the chat API, as OpenAI's client sends and reads them; the weights are random."""

from __future__ import annotations

import json

import openai
import pytest

from generation_scene import engine, tokenizer
from serving_scene import serving
from tonggan.language.model import LanguageModel
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.torch_engine import TorchEngine
from tools_scene import CLOCK, QWEN, WEATHER

HELLO = [{"role": "user", "content": "the weather in 北京?"}]
TOOLS = [WEATHER.to_dict(), CLOCK.to_dict()]
MAX_LENGTH = 2048


class SayingEngine(TorchEngine):
    """The tiny model, which first says what it is told to."""

    ids: list[int] = []  # noqa: RUF012

    def logits(self, hidden):
        logits = super().logits(hidden)
        if self.ids:
            logits[..., self.ids.pop(0)] = 1e6
        return logits


def words() -> Tokenizer:
    return Tokenizer.load({**tokenizer().state(), "chat_template": QWEN})


@pytest.fixture(scope="module")
def saying():
    return SayingEngine(engine(max_length=MAX_LENGTH).model)


@pytest.fixture(scope="module")
def server(saying):
    with serving(LanguageModel(saying, words(), name="tiny")) as running:
        yield running


@pytest.fixture
def chat(server):
    client = server.client()
    return lambda **options: client.chat.completions.create(
        **{
            "model": "tiny",
            "messages": HELLO,
            "tools": TOOLS,
            "temperature": 1,
            "seed": 1,
            "max_tokens": 200,
            **options,
        }
    )


def check(call):
    arguments = json.loads(call.function.arguments)
    if call.function.name == "get_weather":
        assert isinstance(arguments["city"], str)
        assert arguments["unit"] in ("c", "f")
    else:
        assert (call.function.name, arguments) == ("clock", {})


def test_a_required_call_obeys_the_schema(chat):
    answer = chat(tool_choice="required", n=4)
    assert [choice.finish_reason for choice in answer.choices] == ["tool_calls"] * 4
    for choice in answer.choices:
        assert choice.message.content is None
        for call in choice.message.tool_calls:
            check(call)
    ids = [call.id for choice in answer.choices for call in choice.message.tool_calls]
    assert len(set(ids)) == len(ids) >= 4
    single = chat(tool_choice="required", parallel_tool_calls=False)
    assert len(single.choices[0].message.tool_calls) == 1


@pytest.mark.parametrize("tool", [WEATHER, CLOCK])
def test_a_named_call_is_of_that_function(chat, tool):
    choice = chat(tool_choice={"type": "function", "function": {"name": tool.name}}).choices[0]
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name, choice.finish_reason) == ("function", tool.name, "tool_calls")
    check(call)


def test_a_streamed_call_is_the_whole_one_in_pieces(chat):
    whole = chat(tool_choice="required").choices[0].message.tool_calls
    chunks = list(chat(tool_choice="required", stream=True))
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert deltas[0].id
    assert (deltas[0].type, deltas[0].function.arguments) == ("function", "")
    read = {}
    for delta in deltas:
        name, arguments = read.get(delta.index, ("", ""))
        read[delta.index] = (name + (delta.function.name or ""), arguments + (delta.function.arguments or ""))
    assert list(read.values()) == [(call.function.name, call.function.arguments) for call in whole]
    assert len(deltas) > 3
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert all(not choice.delta.content for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("stream", [False, True])
def test_by_itself_it_may_speak_or_call(chat, saying, stream):
    """After the words that open a call, its name and arguments are constrained."""
    saying.ids[:] = words().encode("the cat\n<tool_call>")
    if stream:
        parts = [choice for chunk in chat(stream=True, parallel_tool_calls=False) for choice in chunk.choices]
        content = "".join(choice.delta.content or "" for choice in parts)
        calls = [call for choice in parts for call in choice.delta.tool_calls or ()]
        finish = parts[-1].finish_reason
        json.loads("".join(call.function.arguments for call in calls))
    else:
        choice = chat(parallel_tool_calls=False).choices[0]
        content, finish = choice.message.content, choice.finish_reason
        check(*choice.message.tool_calls)
    assert (content, finish) == ("the cat", "tool_calls")
    saying.ids[:] = words().encode("the cat")
    spoken = chat(max_tokens=12).choices[0].message
    assert spoken.tool_calls is None
    assert spoken.content.startswith("the cat")
    free = chat(tool_choice="none", max_tokens=4, tools=TOOLS)
    assert free.usage.prompt_tokens < chat(max_tokens=4).usage.prompt_tokens / 2


def test_calls_and_their_answers_are_part_of_a_conversation(chat):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "北京"}'}}
    history = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    longer = chat(messages=history, max_tokens=2).usage.prompt_tokens
    assert longer > chat(max_tokens=2).usage.prompt_tokens + 60
    assert chat(messages=history, tools=openai.NOT_GIVEN, max_tokens=2).usage.prompt_tokens < longer
    broken = {**call, "function": {"name": "get_weather", "arguments": '{"city": '}}
    for wrong, param in (
        ([*HELLO, {**history[1], "tool_calls": [broken]}, history[2]], "messages[1].tool_calls[0].function.arguments"),
        ([*history[:2], {**history[2], "tool_call_id": "call_2"}], "messages[2].tool_call_id"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            chat(messages=wrong)
        assert caught.value.param == param


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "names no function"),
        ({"tool_choice": "required", "tools": []}, "names no function"),
        ({"tools": [TOOLS[1], TOOLS[1]]}, "tools of one name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "name"),
        ({"response_format": {"type": "json_object"}}, "tools exclude"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "wrong"}}}]},
            "parameters of the function 'f'",
        ),
    ],
)
def test_what_cannot_be_called_is_named(chat, options, message):
    with pytest.raises(openai.BadRequestError, match=message):
        chat(**options)


def test_a_model_whose_template_knows_no_tools_says_so(saying):
    with serving(LanguageModel(saying, tokenizer(), name="tiny")) as plain:
        create = plain.client().chat.completions.create
        with pytest.raises(openai.BadRequestError, match="'tiny', whose chat template writes no calls") as caught:
            create(model="tiny", messages=HELLO, tools=TOOLS)
        assert caught.value.param == "tools"
        assert create(model="tiny", messages=HELLO, tools=TOOLS, tool_choice="none", max_tokens=2).choices
