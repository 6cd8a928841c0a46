import json
import re
import sys

import pytest
import torch

from generation_scene import engine, language_model, tokenizer
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.language.constraint import Constraint, _expanded_length
from tonggan.language.continuation import Continuation
from tonggan.language.settings import GenerationConfig

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["cat", "狗"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def random_text(settings: GenerationConfig, *, seed: int) -> Continuation:
    """What a model that wants anything and everything writes under a constraint."""
    generator = torch.Generator().manual_seed(seed)
    text = Continuation([1], settings.model_copy(update={"seed": seed}), tokenizer(), max_tokens=200)
    while text.finished is None:
        text.choose(3 * torch.randn(engine().vocab_size, generator=generator))
    return text


@pytest.mark.parametrize(
    "regex", [r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "(yes|no|也许)", r"[a-c]*😀+", r"[a-z]{2,5}( [a-z]{2,5}){0,3}\."]
)
def test_every_text_matches_the_regex_or_is_cut(regex):
    finishes = []
    for seed in range(20):
        text = random_text(GenerationConfig(regex=regex, temperature=1.0), seed=seed)
        shown = text.take_text()
        finishes.append(text.finished)
        assert text.finished == "length" or re.fullmatch(regex, shown), shown
    assert finishes.count("stop") > 10


def test_every_text_obeys_the_schema_or_is_cut():
    finishes = []
    for seed in range(20):
        text = random_text(GenerationConfig(json_schema=SCHEMA, temperature=1.0), seed=seed)
        finishes.append(text.finished)
        if text.finished == "length":
            continue
        value = json.loads(text.take_text())
        assert list(value) == ["name", "age", "tags"]
        assert len(value["name"]) <= 6
        assert value["age"] in range(151)
        assert set(value["tags"]) <= {"cat", "狗"}
        assert len(value["tags"]) <= 3
    assert finishes.count("stop") > 10


def test_a_complete_text_ends_without_an_end_token():
    text = random_text(GenerationConfig(regex="(yes|no)"), seed=0)
    assert text.take_text() in ("yes", "no")
    assert text.tokens[-1] not in tokenizer().ends


def test_a_vocabulary_without_an_end_needs_none():
    without = tokenizer().load({**tokenizer().state(), "ends": []})
    for regex, finish in (("(yes|no)", "stop"), ("a+", "length")):
        text = Continuation([], GenerationConfig(regex=regex), without, max_tokens=9)
        while text.finished is None:
            text.choose(torch.arange(without.size).float())
        assert text.finished == finish
        assert re.fullmatch(regex, text.take_text())


def test_logits_wider_than_the_vocabulary_are_ruled_out():
    text = Continuation([], GenerationConfig(regex="ab"), tokenizer(), max_tokens=9)
    logits = torch.zeros(tokenizer().size + 5)
    logits[-1] = 100.0
    while text.finished is None:
        text.choose(logits)
    assert text.take_text() == "ab"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"regex": "(a"}, "unclosed group"),
        ({"regex": "a(?=b)"}, "look-around"),
        ({"json_schema": {"type": "objec"}}, "Invalid type: objec"),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "uniqueItems"),
        ({"json_schema": {"type": "array", "minItems": 3, "maxItems": 1}}, "minItems"),
    ],
)
def test_what_cannot_be_enforced_is_told(fields, problem):
    with pytest.raises(ConfigError, match=problem):
        Constraint(GenerationConfig(**fields), tokenizer())


def test_what_cannot_be_followed_is_told_later():
    constraint = Constraint(GenerationConfig(regex="ab"), tokenizer())
    (wrong,) = tokenizer().encode("c")
    with pytest.raises(ConfigError, match="a regex that can be enforced"):
        constraint.accept(wrong)


def test_a_stream_tells_before_it_starts():
    model = language_model()
    with pytest.raises(ConfigError, match="regex: got '\\(a'"):
        model.stream(model.prompt("x"), GenerationConfig(regex="(a"))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[language\]'"):
        Constraint(GenerationConfig(regex="a"), tokenizer())


@pytest.mark.parametrize(
    ("expression", "length"),
    [
        ("a|b|c", 5),
        ("[]a]{3}x", 4),
        ("(ab){3}c{2}", 8),
        (r"\({4}", 4),
        ("((a{50}b){10}){20}", 10_200),
        ("(a{1,}){3}", 3),
    ],
)
def test_the_length_of_an_expression_written_out(expression, length):
    assert _expanded_length(expression) == length


@pytest.mark.parametrize(
    "fields",
    [
        {"regex": "(a{1000}){1000}"},
        {"json_schema": {"type": "string", "pattern": "((a{100}){100}){100}"}},
        {"json_schema": {"properties": {"a": {"anyOf": [{"patternProperties": {"(b{999}){999}": {}}}]}}}},
    ],
)
def test_repetitions_that_multiply_are_refused_before_they_are_built(fields):
    with pytest.raises(ConfigError, match="written out"):
        Constraint(GenerationConfig(**fields), tokenizer())
