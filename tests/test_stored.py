"""What is read from files is bounded, checked, and named where it is wrong."""

import json

import pytest
from pydantic import Field

from tonggan.errors import BundleError, CacheError, ConfigError, DataError
from tonggan.stored import Record, named, parse_record, read_object, read_record


class Shape(Record):
    name: str
    sides: list[int] = Field(min_length=1)


def test_a_record_of_a_file(tmp_path):
    path = tmp_path / "shape.json"
    path.write_text('{"name": "square", "sides": [1, 1], "of a newer version": {}}')
    assert read_record(Shape, path, remedy="Draw it again") == Shape(name="square", sides=[1, 1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"name": 5, "sides": []}', "got name = 5; sides = .., expected name: a text; sides: at least 1 of them"),
        ('{"sides": [true, "1"]}', "got no name; sides[0] = True; sides[1] = '1', expected name: a value; sides[0]: a"),
        ("[]", "got list, expected a mapping"),
        ("[" * 100_000, "got values that are nested too deep, expected valid JSON"),
        ('{"a": ' * 70 + "{}" + "}" * 70, "got values more than 64 deep"),
        ("{", "got Expecting property name"),
        (None, "got no such file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    path = tmp_path / "shape.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CacheError, match=f"{path}: {message}".replace("[", r"\[")) as caught:
        read_record(Shape, path, remedy="Draw it again", kind=CacheError)
    assert caught.value.remedy == "Draw it again"


def test_of_many_wrong_fields_the_first_are_named():
    with pytest.raises(DataError) as caught:
        parse_record(Shape, {"name": "x", "sides": ["y"] * 100}, who="shape", remedy="Draw it again")
    assert caught.value.got.count("sides") == 8


def test_a_file_that_may_be_missing(tmp_path):
    class Marks(Record):
        color: str | None = None

    assert read_record(Marks, tmp_path / "none.json", remedy="Draw it again", is_optional=True) == Marks()
    with pytest.raises(DataError, match="no such file"):
        read_object(tmp_path / "none.json", remedy="Draw it again")


@pytest.mark.parametrize(
    "error", [ValueError("5\n  apples"), KeyError("x"), RecursionError(), json.JSONDecodeError("x", "", 0)]
)
def test_errors_of_others_are_named(error):
    with (
        pytest.raises(
            BundleError, match=f"the file: got {type(error).__name__}: .*, expected apples. Buy some."
        ) as caught,
        named("the file", expected="apples", remedy="Buy some", kind=BundleError),
    ):
        raise error
    assert "\n" not in caught.value.got
    assert caught.value.__cause__ is error


def test_what_goes_wrong_in_a_library_in_rust_is_named():
    from tokenizers import Tokenizer, models, processors

    library = Tokenizer(models.WordPiece({"a": 0}, unk_token="a"))
    library.post_processor = processors.TemplateProcessing(single="[X] $A", special_tokens=[("[X]", 5)])
    content = library.to_str().replace('"ids":[5]', '"ids":[]')
    broken = content.replace('"SpecialToken":{"id":"[X]"', '"SpecialToken":{"id":"[Y]"')
    with (
        pytest.raises(DataError, match="the file: got PanicException: ") as caught,
        named("the file", expected="a tokenizer", remedy="Get it again"),
    ):
        Tokenizer.from_str(broken).encode("a")
    assert not isinstance(caught.value.__cause__, Exception)


def test_errors_that_say_it_all_pass_and_so_does_a_stop():
    for passing in (ConfigError("x", got="y", expected="z", remedy="w"), KeyboardInterrupt()):
        with pytest.raises(type(passing)) as caught, named("the file", expected="apples", remedy="Buy some"):
            raise passing
        assert caught.value is passing
