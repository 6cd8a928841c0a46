"""Calls as templates write them are found by rendering, constrained, and read back from a text that grows."""

from __future__ import annotations

import json

import pytest
import torch

from generation_scene import language_model, tokenizer
from tonggan.errors import ConfigError
from tonggan.language.chat import ChatTemplate, Message
from tonggan.language.constraint import check_schema
from tonggan.language.continuation import Continuation
from tonggan.language.settings import GenerationConfig
from tonggan.language.tools import CallForm, CallReader, ToolCall, as_json, merged
from tools_scene import CLOCK, LLAMA, MISTRAL, QWEN, WEATHER

FORMS = {
    QWEN: CallForm(
        '<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>", '}\n</tool_call>\n<tool_call>\n{"name": "'
    ),
    LLAMA: CallForm('{"name": "', '", "parameters": ', "}", None),
    MISTRAL: CallForm('[TOOL_CALLS] [{"name": "', '", "arguments": ', "}]", '}, {"name": "'),
}
CALLS = [ToolCall("get_weather", {"city": "北京 \"}{'", "unit": "c"}, "call_1"), ToolCall("clock", {}, "call_2")]


def written(form: CallForm, calls: list[ToolCall]) -> str:
    each = [f"{call.name}{form.middle}{json.dumps(call.arguments, ensure_ascii=False)}" for call in calls]
    return form.opening + str(form.between).join(each) + form.closing


@pytest.mark.parametrize("source", FORMS)
def test_the_form_of_calls_is_found_by_rendering(source):
    template = ChatTemplate(source, start="<s>", end="</s>")
    assert template.call_form == FORMS[source]
    assert ChatTemplate("{% for message in messages %}{{ message.content }}{% endfor %}").call_form is None
    assert ChatTemplate("{{ tools }}{% for message in messages %}{{ message.content }}{% endfor %}").call_form is None


def test_tools_and_calls_are_written_as_transformers_writes_them():
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [
        Message("user", "and in 北京?"),
        Message("assistant", "", tool_calls=tuple(CALLS)),
        Message("tool", "12 <|im_end|>", call_id="call_1"),
        Message("tool", "noon", call_id="call_2"),
    ]
    pieces = ChatTemplate(QWEN).split(messages, tools=[WEATHER, CLOCK])
    mine = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
    plain = [
        {"role": each.role, "content": each.content, "tool_calls": [call.to_dict() for call in each.tool_calls]}
        for each in messages
    ]
    theirs, _ = render_jinja_template(
        [plain], chat_template=QWEN, add_generation_prompt=True, tools=[WEATHER.to_dict(), CLOCK.to_dict()]
    )
    assert mine == theirs[0]
    assert "12 <|im_end|>" in [getattr(piece, "text", None) for piece in pieces]


def test_no_argument_is_read_as_a_control_token():
    text = as_json({"a": "<|im_end|> </s> [INST] x < y [1]"})
    assert "<|im_end|>" not in text
    assert "[INST]" not in text
    assert json.loads(text) == {"a": "<|im_end|> </s> [INST] x < y [1]"}
    assert "x < y [1]" in text


@pytest.mark.parametrize("form", FORMS.values())
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_calls_are_read_however_the_text_is_cut(form, size):
    calls = CALLS if form.between is not None else CALLS[:1]
    text = f"Let me see.\n{written(form, calls)}"
    reader = CallReader(form)
    parts = []
    for first in range(0, len(text), size):
        parts += reader.feed(text[first : first + size], is_last=first + size >= len(text))
    content, read = merged(iter(parts))
    assert content.strip() == "Let me see."
    assert [(each["function"]["name"], json.loads(each["function"]["arguments"])) for each in read] == [
        (call.name, call.arguments) for call in calls
    ]
    assert len({each["id"] for each in read}) == len(calls)
    deltas = [part["tool_calls"][0] for part in parts if "tool_calls" in part]
    assert [each["index"] for each in deltas] == sorted(each["index"] for each in deltas)


def test_words_between_calls_are_content():
    form = FORMS[QWEN]
    text = f"{written(form, CALLS[:1])}\nand the time\n{written(form, CALLS[1:])}"
    content, calls = merged(CallReader(form).feed(text, is_last=True))
    assert content.strip() == "and the time"
    assert [call["function"]["name"] for call in calls] == ["get_weather", "clock"]


def test_a_text_without_calls_is_content():
    form = FORMS[QWEN]
    for text in ("a < b\n", "<tool_", "<tool_call> but no call"):
        for size in (1, 100):
            reader = CallReader(form)
            cut = [text[first : first + size] for first in range(0, len(text), size)]
            parts = [
                part for number, each in enumerate(cut) for part in reader.feed(each, is_last=number + 1 == len(cut))
            ]
            content, calls = merged(iter(parts))
            assert calls == []
            assert content.replace("<tool_call>", "").strip() == text.replace("<tool_call>", "").strip()


@pytest.mark.parametrize("form", FORMS.values())
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_random_weights_write_valid_calls(form, temperature):
    """Under the grammar, whatever the weights: also where the limit is near."""
    model = language_model(max_length=512)
    grammar = form.grammar([WEATHER, CLOCK], before="", is_named=False, many=True)
    for seed in range(3):
        settings = GenerationConfig(grammar=grammar, temperature=temperature, seed=seed, max_tokens=160)
        done = model.generate([model.prompt("the cat")], settings)[0]
        assert done.finish == "stop"
        _, calls = merged(CallReader(form, state="name").feed(done.text, is_last=True))
        assert calls
        for call in calls:
            arguments = json.loads(call["function"]["arguments"])
            assert arguments == {} if call["function"]["name"] == "clock" else arguments["unit"] in ("c", "f")


def test_the_grammar_holds_from_the_trigger_on():
    form, words = FORMS[QWEN], tokenizer()
    grammar = form.grammar([WEATHER], before=form.after_trigger, is_named=False, many=False)
    settings = GenerationConfig(grammar=grammar, trigger=form.trigger, max_tokens=200)
    text = Continuation([], settings, words, max_tokens=200)
    wanted = words.encode('the cat <tool_call>\n{"name": "get_weather", "arguments": {"city": "')
    for token in wanted[: len(words.encode("the cat <tool_call>"))]:
        text.append(token)
    flat = torch.zeros(words.size)
    written = words.decode(text.tokens)
    while text.finished is None and len(text.tokens) < 190:
        text.choose(flat)
    said = words.decode(text.tokens)
    assert said.startswith(f'{written}\n{{"name": "get_weather", "arguments": {{"city": "')


def test_a_schema_that_cannot_be_enforced_is_named():
    check_schema(dict(WEATHER.parameters), who="x")
    for schema in (
        {"type": "no type"},
        {"type": "string", "pattern": "(("},
        {"type": "string", "pattern": "(a{999}){999}"},
    ):
        with pytest.raises(ConfigError, match="parameters of f: got"):
            check_schema({"type": "object", "properties": {"a": schema}}, who="parameters of f")
