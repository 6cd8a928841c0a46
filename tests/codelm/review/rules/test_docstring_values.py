import pytest

from review_scene import findings_in, messages

DEFAULT, TYPE = "docstring-default", "docstring-type"


def function(signature, told, kind=""):
    kind = f" ({kind})" if kind else ""
    return f'SIZE = 3\n\ndef f({signature}):\n    """F.\n\n    Args:\n        x{kind}: {told}\n    """\n'


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("x=3", "how many. Default: 4."),
        ("x=3", "how many (default: ``4``)."),
        ("x=3", "how many. Defaults to 4."),
        ("x=SIZE", "how many. Default is 4."),
        ("x=True", "whether. Defaults to False."),
        ("x='mean'", "how. Defaults to 'sum'."),
        ("x=1e-5", "how. Default: 1e-6"),
        ("x=5", "how. Defaults to None."),
    ],
)
def test_another_default_is_told(signature, told, tmp_path):
    (found,) = findings_in(tmp_path, function(signature, told), DEFAULT)
    assert "'x' is said to default to " in found.message
    assert found.confidence > 0.9


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("x=3", "how many. Default: 3."),
        ("x=None", "how many. Default: 4."),
        ("x=3000", "how long. Default: 3 seconds."),
        ("x=3", "how many. Default: 2 if small, 4 otherwise."),
        ("x=0.00001", "how. Default: 1e-5."),
        ("x=make()", "how. Default: 4."),
        ("x='mean'", "how. Default: mean."),
        ("x='low'", "how. Default is 'lowpass'."),
        ("x='a b...'", "how. Default: 'ab'."),
        ("x=''", "how. Default: None."),
        ("x='deprecated'", "how. Default: 3."),
        ("x=3", "how. In g the default is 4."),
        ("x=3", "how. Default: 3 or 4."),
    ],
)
def test_a_default_that_may_be_meant_is_silent(signature, told, tmp_path):
    assert messages(tmp_path, function(signature, told), DEFAULT) == []


def test_the_suggestion_mends_the_default(tmp_path):
    text = function("x=3", "how many. Default: 4.")
    (found,) = findings_in(tmp_path, text, DEFAULT)
    edit = found.edit
    assert edit is not None
    line = text.split("\n")[edit.start_line - 1]
    assert line[: edit.start_column - 1] + edit.text + line[edit.end_column - 1 :] == "        x: how many. Default: 3."


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [("int", "str"), ("str | None", "`bool`, *optional*"), ("list[str]", "str"), ("Optional[dict]", "list of str")],
)
def test_a_type_that_the_annotation_excludes_is_told(annotation, kind, tmp_path):
    (found,) = findings_in(tmp_path, function(f"x: {annotation}", "it", kind), TYPE)
    assert found.message == f"'x' is described as {kind}, but annotated as {annotation}"


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [("int", "float"), ("str", "path"), ("Sequence[str]", "list of str"), ("Frame", "str"), ("int", "int or Frame"),
     ("int", "number of rows"), ("Any", "str"), ("int", "int, optional, default 3")],
)  # fmt: skip
def test_a_type_that_may_be_meant_is_silent(annotation, kind, tmp_path):
    assert messages(tmp_path, function(f"x: {annotation}", "it", kind), TYPE) == []
