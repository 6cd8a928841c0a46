import re
import subprocess
import time
from pathlib import Path

import pytest

from tonggan.codelm.source_file import SourceFile
from tonggan.codelm.units import commits_of, units_of
from tonggan.errors import DataError
from tonggan.grammars import language_of


def source(name, text):
    return SourceFile(Path("/repository") / name, name, language_of(name), text, "", "\n")


def brief(name, text):
    return [(unit.kind, unit.qualified_name, unit.start_line, unit.end_line) for unit in units_of(source(name, text))]


PYTHON = '''"""About dates."""
import re

# Five words or more make a unit.
@cached
def parse(text, *,
          zone=None) -> int:
    """Parse a date.

    With its zone.
    """
    def inner(): ...
    return 1


class Calendar(Base):
    "Days."

    async def day(self):
        return 2
'''


def test_python_is_cut_into_its_definitions_comments_and_an_outline():
    assert brief("dates.py", PYTHON) == [
        ("file", "dates.py", 1, 20),
        ("comment", "Five words or more make a unit.", 4, 4),
        ("function", "parse", 5, 13),
        ("function", "parse.inner", 12, 12),
        ("class", "Calendar", 16, 20),
        ("function", "Calendar.day", 19, 20),
    ]
    file, _, parse, _, calendar, _ = units_of(source("dates.py", PYTHON))
    assert file.docstring == "About dates."
    assert "import re" in file.text
    assert "return" not in file.text
    assert parse.docstring == "Parse a date.\n\nWith its zone."
    assert parse.signature == "def parse(text, *, zone=None) -> int"
    assert parse.text.startswith("@cached\ndef parse")
    assert calendar.docstring == "Days."


def test_a_form_feed_ends_no_line():
    file, function = units_of(source("a.py", "import re\n\x0c\ndef parse():\n    return 1\n"))
    assert (function.start_line, function.end_line) == (3, 4)
    assert file.end_line == 4
    assert file.text == "import re\ndef parse():"
    assert brief("a.txt", "one\x0ctwo\n") == [("file", "a.txt", 1, 1)]


def test_code_that_is_broken_or_half_written_still_has_units():
    text = "def whole():\n    return 1\n\nclass Broken(:\n    def inner(self):\n        x = (\n"
    assert ("function", "whole", 1, 2) in brief("a.py", text)
    assert brief("a.py", "def half(a, b")[0] == ("file", "a.py", 1, 1)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.js", "/** Adds. */\nexport const add = (a, b) => { return a + b }\n", ("function", "add", "Adds.")),
        ("a.ts", "// Holds.\ninterface Box { item: string }\n", ("class", "Box", "Holds.")),
        ("a.go", "package p\n// F doubles.\nfunc F(a int) int { return 2*a }\n", ("function", "F", "F doubles.")),
        ("a.rs", "/// Doubles.\nfn double(a: i32) -> i32 { a }\n", ("function", "double", "Doubles.")),
        ("a.c", "/* Zero. */\nstatic int *zero(int a) { return 0; }\n", ("function", "zero", "Zero.")),
        ("A.java", "class A {\n  /** Ones. */\n  int one(int x) { return 1; }\n}", ("function", "A.one", "Ones.")),
        ("a.cpp", "// Runs.\nvoid Engine::run(int a) const { }\n", ("function", "Engine.run", "Runs.")),
        ("a.rb", "# Greets.\ndef greet(name)\n  1\nend\n", ("function", "greet", "Greets.")),
        ("a.sh", "# greets\ngreet() { echo hi; }\n", ("function", "greet", "greets")),
        ("a.sql", "-- People.\nCREATE TABLE users (id int);\n", ("class", "users", "People.")),
        ("a.r", "double <- function(x) { 2 * x }\n", ("function", "double", "")),
    ],
)
def test_other_languages_have_units_with_the_comment_above_as_docstring(name, text, expected):
    units = [(unit.kind, unit.qualified_name, unit.docstring) for unit in units_of(source(name, text))]
    assert expected in units


def test_documents_are_cut_at_their_headings_and_other_files_stay_whole():
    text = "# 标题\n\n你好\n\n## Empty\n\n## Use\n\nSay it.\n"
    assert brief("读我.md", text)[1:] == [("doc", "标题", 1, 3), ("doc", "Use", 7, 9)]
    assert brief("a.rst", "Title\n=====\n\nWords.\n")[1:] == [("doc", "Title", 1, 4)]
    assert brief("data.json", '{"a": 1}') == [("file", "data.json", 1, 1)]
    assert brief("empty.py", "") == [("file", "empty.py", 1, 1)]


def test_a_chinese_comment_needs_no_spaces_to_be_a_unit():
    (_, comment) = units_of(source("a.py", "# 解析带时区的日期\n"))
    assert (comment.kind, comment.docstring) == ("comment", "解析带时区的日期")


def test_commits_are_units_and_where_there_is_no_git_there_are_none(tmp_path, monkeypatch):
    assert commits_of(tmp_path) == []

    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True)

    git("init", "-q")
    for number in (1, 2):
        git("commit", "-q", "--allow-empty", "-m", f"Reason {number}\n\nBecause.")
    newest, oldest = commits_of(tmp_path)
    assert (newest.name, newest.docstring, newest.kind) == ("Reason 2", "Because.", "commit")
    assert commits_of(tmp_path, limit=1) == [newest]
    assert oldest.text == "Reason 1\n\nBecause."
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))  # as in a hook of another repository
    assert commits_of(tmp_path, limit=1) == [newest]


def test_a_text_without_headings_is_one_unit():
    assert brief("notes.txt", "buy milk\n") == [("file", "notes.txt", 1, 1)]


DEEP = {
    "functions.js": ("function f(){", "}"),
    "lambdas.js": ("(()=>{", "})()"),
    "classes.js": ("class A{m(){", "}}"),
    "braces.c": ("{", ""),
    "structs.c": ("struct A{", "}x;"),
    "ifs.c": ("if(a)", ";"),
    "stars.c": ("*", "a;"),
    "namespaces.cpp": ("namespace a{", "}"),
    "brackets.py": ("(", ")"),
    "sums.py": ("1+", "1"),
    "attributes.py": ("a.", "a"),
    "decorators.py": ("@a\n", "def f(): pass"),
    "lists.json": ("[", "]"),
    "texts.kt": ('"${', ""),
    "items.yaml": ("- ", ""),
    "maps.yaml": ("{a: ", ""),
    "divs.html": ("<div>", ""),
    "rules.scss": ("a{", "}"),
    "functions.go": ("func f(){", "}"),
    "modules.rs": ("mod a{", "}"),
    "functions.rb": ("def f\n", "end\n"),
    "functions.php": ("<?php function f(){", "}"),
    "functions.lua": ("function f() ", "end "),
    "queries.sql": ("select (", ")"),
    "functions.r": ("f<-function(x){", "}"),
    "functions.jl": ("function f()\n", "end\n"),
    "functions.sh": ("f(){ ", "};"),
    "classes.java": ("class A{", "}"),
    "classes.cs": ("class A{", "}"),
    "space.c": ("/*" + " " * 1000, "x*/"),
    "lines.c": ("/*" + "\n" * 1000, "x*/"),
    "stars.css": ("/*" + "*" * 1000, "x*/"),
    "heading.md": ("# a" + " " * 1000, "x\n"),
    "quotes.md": ("> ", "a"),
    "underlines.md": ("a\n" + "=" * 1000, "x\n"),
    "headings.md": ("#\n\n", ""),
}


@pytest.mark.parametrize("name", DEEP)
def test_no_file_takes_long_however_deep_it_is(name):
    """Work grows with the length of a file; what is nested beyond all measure is named, or part of what is around."""
    begin, end = DEEP[name]
    count = min(20_000, 400_000 // len(begin))
    start = time.thread_time()
    try:
        units = units_of(source(name, begin * count + end * count))
    except DataError as error:
        assert re.search("nested more than|take longer than", error.got)  # noqa: PT017
    else:
        assert sum(len(unit.text) for unit in units) < 20 * 1_000_000
    assert time.thread_time() - start < 25


def test_definitions_that_are_nested_are_found_down_to_a_depth():
    text = "\n".join(f"{' ' * depth}def f{depth}():" for depth in range(40)) + f"\n{' ' * 40}pass\n"
    names = [unit.qualified_name for unit in units_of(source("a.py", text))]
    assert names[1:] == [".".join(f"f{depth}" for depth in range(last + 1)) for last in range(16)]
