import ast
import gc
import re
from pathlib import Path

import pytest

from command_line import assert_named, tonggan
from review_scene import written
from tonggan.codelm.review import review, reviewing
from tonggan.codelm.review.registry import rules
from tonggan.errors import ConfigError, DataError
from tonggan.wording import catalog

DRIFT = '''def f(a, b=3):
    """F.

    Args:
        a: one.
        b: two. Default: 4.
    """
'''


def test_rules_say_what_they_believe_and_where_they_err():
    assert rules()
    for name, rule in rules().items():
        assert rule.summary, name
        assert "alse alarms" in " ".join((rule.check.__doc__ or "").split()), name


def test_a_finding_keeps_its_fingerprint_when_lines_move(tmp_path):
    (before,) = review([written(tmp_path, {"a.py": DRIFT})]).findings
    (after,) = review([written(tmp_path, {"a.py": "import os\n\n\n" + DRIFT})]).findings
    assert after.start_line == before.start_line + 3
    assert after.fingerprint == before.fingerprint
    twice = DRIFT + "\n\n" + DRIFT.replace("def f", "def g")
    assert len({each.fingerprint for each in review([written(tmp_path, {"a.py": twice})]).findings}) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("b=3):", "b=3):  # tonggan: ignore[docstring-default]"),
        ('    """\n', '    """  # tonggan: ignore\n'),
        ('    """\n', '    """  # tonggan: ignore[docstring-type, docstring-default]\n'),
    ],
)
def test_a_comment_hides_a_finding(old, new, tmp_path):
    text = new.join(DRIFT.rsplit(old, 1))
    found = review([written(tmp_path, {"a.py": text})])
    assert found.findings == ()
    assert found.hidden == {"ignored by a comment": 1}
    other = DRIFT.replace("b=3):", "b=3):  # tonggan: ignore[docstring-type]")
    assert len(review([written(tmp_path, {"a.py": other})]).findings) == 1


def test_what_cannot_be_read_is_named_and_the_rest_reviewed(tmp_path):
    files = {
        "a.py": DRIFT,
        "broken.py": "def f(:\n",
        "old.py": "print 'hello'\n",
        "book.ipynb": '{"cells": [], "metadata": {}}',
        "deep.py": "x = " + "(" * 5000 + ")" * 5000,
        "chain.py": "x = " + "+".join(["1"] * 20_000) + "\n",
    }
    found = review([written(tmp_path, files)])
    assert [each.path for each in found.findings] == ["a.py"]
    assert found.problems["old.py"] == "not parsed, line 1: it is Python 2"
    assert "line 1" in found.problems["broken.py"]
    assert found.problems["book.ipynb"] == "notebooks are not reviewed"
    assert "deep.py" in found.problems


def test_only_what_is_asked_for_is_reviewed_with_the_rest_as_context(tmp_path):
    (tmp_path / ".git").mkdir()
    errors = {"errors.py": "class Other(Exception): ...\n", "b.py": DRIFT}
    text = 'from errors import Other\ndef f():\n  """F.\n\n  Raises:\n    KeyError: x.\n  """\n  raise Other\n'
    written(tmp_path, errors | {"a.py": text})
    found = review([tmp_path / "a.py"])
    assert [(each.path, each.rule) for each in found.findings] == [("a.py", "docstring-raises")]


def test_nothing_of_the_repository_runs(tmp_path):
    ran = tmp_path / "ran"
    review(
        [written(tmp_path, {"a.py": f"open({str(ran)!r}, 'w')\n" + DRIFT, "conftest.py": "import os; os._exit(3)\n"})]
    )
    assert not ran.exists()


def test_wrong_names_are_told(tmp_path):
    with pytest.raises(ConfigError, match="docstring-default"):
        review([tmp_path], only=["no-such-rule"])
    with pytest.raises(DataError):
        review([tmp_path / "nowhere"])


def test_suggestions_leave_files_that_parse(tmp_path):
    (found,) = review([written(tmp_path, {"a.py": DRIFT})]).findings
    assert found.edit is not None
    lines = DRIFT.split("\n")
    line = lines[found.edit.start_line - 1]
    lines[found.edit.start_line - 1] = (
        line[: found.edit.start_column - 1] + found.edit.text + line[found.edit.end_column - 1 :]
    )
    ast.parse("\n".join(lines))
    assert "Default: 3." in "\n".join(lines)


def test_command(tmp_path):
    written(tmp_path, {"a.py": DRIFT})
    told = tonggan("code", "review", tmp_path)
    assert told.code == 1
    assert "a.py:6:" in told.out
    assert "[docstring-default]" in told.out
    assert "1 findings in 1 files" in told.out
    found = tonggan("code", "review", tmp_path, "--json")
    assert (found.code, found.json["findings"][0]["rule"]) == (1, "docstring-default")
    assert tonggan("code", "review", tmp_path, "--rule", "docstring-type").code == 0
    helped = tonggan("code", "review", "--help").out
    assert "# tonggan: ignore[docstring-default]" in " ".join(helped.split())
    chinese = tonggan("code", "review", tmp_path, "--lang", "zh").out
    assert "文档称“b”默认为 4，但 f 中是 3" in chinese


def test_what_ruff_says_is_not_said_again(tmp_path):
    text = DRIFT.replace("b=3", "b=4, c=5")
    config = '[lint]\nselect = ["D417"]\n[lint.pydocstyle]\nconvention = "google"\n'
    only = ["docstring-missing-parameter"]
    assert len(review([written(tmp_path, {"a.py": text})], only=only).findings) == 1
    found = review([written(tmp_path, {"ruff.toml": config})], only=only)
    assert (found.findings, found.hidden) == ((), {"that ruff already reports": 1})


def test_a_budget_keeps_the_most_certain(tmp_path):
    text = DRIFT + DRIFT.replace("a: one", "z: one").replace("def f", "def g")
    whole = review([written(tmp_path, {"a.py": text})]).findings
    assert len(whole) == 3
    found = review([tmp_path], budget=1)
    assert (found.findings, found.hidden) == (whole[:1], {"beyond the budget": 2})


def test_a_baseline_hides_what_was_there(tmp_path):
    written(tmp_path, {"a.py": DRIFT})
    kept = tmp_path / "kept.json"
    wrote = tonggan("code", "review", tmp_path, "--write-baseline", kept)
    assert (wrote.code, wrote.out) == (0, f"1 findings are kept in {kept}\n")
    assert tonggan("code", "review", tmp_path, "--baseline", kept).code == 0
    written(tmp_path, {"a.py": "\n" + DRIFT + DRIFT.replace("def f", "def g")})
    found = tonggan("code", "review", tmp_path, "--baseline", kept, "--json")
    assert [each["message"] for each in found.json["findings"]] == ["'b' is said to default to 4, but g has 3"]
    for content in ("[]", "{", '{"version": 7}', '{"version": 1, "findings": [3]}'):
        kept.write_text(content)
        assert_named(tonggan("code", "review", tmp_path, "--baseline", kept), "--write-baseline")
    assert_named(tonggan("code", "review", tmp_path, "--baseline", tmp_path / "nowhere"), "No such file")
    assert_named(tonggan("code", "review", tmp_path, "--format", "xml"), "sarif", code=2)


def test_messages_are_in_the_catalog():
    said = set()
    for path in (Path(reviewing.__file__).parent / "rules").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = None
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "message":
                value = node.value
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "each.finding":
                value = node.args[1]
            if isinstance(value, ast.JoinedStr):
                said.add("".join(part.value if isinstance(part, ast.Constant) else "X" for part in value.values))
    assert len(said) > 15
    assert [each for each in said if not re.search("[\u4e00-\u9fff]", catalog().translate(each))] == []


def test_lines_are_counted_as_an_editor_does(tmp_path):
    found = review([written(tmp_path, {"a.py": "def f(a):\n    return a\n"})])
    assert (found.num_files, found.num_lines) == (1, 2)
    assert gc.isenabled()


def test_a_named_file_that_is_no_program_is_told(tmp_path):
    written(tmp_path, {"a.py": DRIFT, "data.csv": "a,b\n"})
    found = review([tmp_path / "data.csv"])
    assert "not one of the files that are read" in found.problems[str(tmp_path / "data.csv")]
    assert not review([tmp_path]).problems
