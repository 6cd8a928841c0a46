"""The command line in Chinese: what it says, and that the catalog holds nothing that no code says."""

import ast
import re
import socket
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import typer

from command_line import tonggan
from tonggan.cli.app import _joined, app
from tonggan.cli.translation import shown, speaking, take_language
from tonggan.errors import DataError
from tonggan.runs.recipe import load_recipe, recipe_names
from tonggan.space.config import load_match_recipe, match_recipe_names
from tonggan.wording import LANGUAGE_VARIABLE, Bilingual, Catalog, catalog, in_words, language

SOURCE = Path(__file__).parents[2] / "src" / "tonggan"
CHINESE = re.compile("[\u4e00-\u9fff]")

# Which the code puts together of several texts, or which others say: the library that reads the line, the system.
OF_TYPER = (
    "Show this message and exit.", "Try ", "Missing ", "No such ", "Invalid value", "Option '", "Got unexpected ",
    "'{}' is not one of ", "it should be ", "Usage:",
)  # fmt: skip
OF_SYSTEM = (
    "Address already in use", "Permission denied", "Cannot assign requested address", "Not Found", "Method Not Allowed",
    "',' expected after '\"'", "No such file or directory", "No space left on device", "Is a directory",
    "Not a directory", "File name too long", "Read-only file system", "[Errno {}] {}: {}",
)  # fmt: skip
TIMES = ("dates", "times of day", "durations")
OF_PARTS = (
    "{} whole numbers from {} to {} that repeat, taken for classes",
    *(f"{things} from {{}} to {{}}{then}" for things in TIMES for then in ("", ", {}")),
    "times of day from {} to {} (if they are durations: --set columns.{}.kind=duration)",
    *(f"{unit} since 1970" for unit in ("seconds", "milliseconds", "microseconds", "nanoseconds")),
    *(f"with the {part} first" for part in ("day", "month")),
    *(f"{things} in {{}} of the cells and other texts in the rest, e.g. {{}}" for things in TIMES),
    "a column of dates", "a column of times of day", "predicted in seconds", "{} train, {} valid, {} test",
    "binary: {} bytes are invalid in {}", "binary: it contains NUL bytes", "too large: {} bytes",
    "too large: more than {} bytes", "damaged notebook: it is not JSON with cells",
)  # fmt: skip


def template(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def texts() -> set[str]:
    """All texts of the source, f-strings with their places empty."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = template(node) if isinstance(node, ast.expr) else None
            if text:
                found.add(text.strip())
    return found


def descriptions() -> set[str]:
    return {load_recipe(name).description for name in recipe_names()} | {
        load_match_recipe(name).description for name in match_recipe_names()
    }


def helps(command) -> set[str]:
    said = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    found = {line for text in said if text for line in _joined(text).split("\n\n")}
    return found.union(*(helps(below) for below in getattr(command, "commands", {}).values()))


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.setenv(LANGUAGE_VARIABLE, "zh")


def test_the_catalog_holds_what_the_code_says():
    import yaml

    entries = yaml.safe_load((SOURCE / "chinese.yaml").read_text(encoding="utf-8"))
    known = texts() | descriptions() | helps(typer.main.get_command(app))
    pieces = "\n".join(known)
    unsaid = []
    for english, translation in entries.items():
        places = english.count("{}")
        assert set(re.findall(r"(?<!\{)\{(\d)\}(?!\})", translation)) <= {str(place) for place in range(places)}, (
            english
        )
        if english in OF_PARTS + OF_SYSTEM or english.startswith(OF_TYPER):
            continue
        parts = [part.strip() for part in english.split("{}") if part.strip(" ,.:;()'")]
        if not (english.strip() in known or all(part in pieces for part in parts)):
            unsaid.append(english)
    assert unsaid == []


def test_help_is_chinese_throughout():
    lines = helps(typer.main.get_command(app))
    missing = sorted(line for line in lines if not CHINESE.search(catalog().translate(line)))
    assert missing == []


def test_data_sets_are_described_in_chinese():
    lines = tonggan("data", "list", "--lang", "zh").out.splitlines()
    assert [line for line in lines if line.startswith(" ") and not CHINESE.search(line)] == []


def test_recipes_are_described_in_chinese_and_in_full(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert [said for said in descriptions() if not CHINESE.search(catalog().translate(said))] == []
    shown = tonggan("recipes", "--lang", "zh").out
    assert "…" not in shown
    assert "准确率 1.0000，163 秒" in shown


def test_help_is_whole_on_a_narrow_terminal(chinese, monkeypatch, capsys):
    from tonggan.cli.app import main

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    with pytest.raises(SystemExit) as end:
        main(["fit", "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert "…" not in said
    assert "显示本帮助后退出。" in said
    assert "[必填]" in said


@cache
def constants() -> dict[str, list[str]]:
    """The texts of the source that have a name, by it."""
    found: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and template(node.value):
                found.setdefault(node.targets[0].id, []).append(template(node.value))
    return found


def alternatives(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return alternatives(node.body) + alternatives(node.orelse)
    if isinstance(node, ast.Name):
        return constants().get(node.id, [])
    found = template(node)
    return [] if found is None else [found]


def said_by(call: ast.Call) -> list[str]:
    """The texts of an error, or of a remark on the way."""
    parts = {keyword.arg: keyword.value for keyword in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if "remedy_zh" in parts or (not parts.keys() & {"got", "expected", "remedy"} and name not in ("say", "warn")):
        return []
    nodes = [*call.args[:1], *(parts[part] for part in ("got", "expected", "remedy") if part in parts)]
    return [text for node in nodes for text in alternatives(node)]


# What a user of tables, of language models or of code meets.
SPOKEN = (
    *(
        "api.py",
        "cli",
        "codelm",
        "compression",
        "config.py",
        "data",
        "decoders",
        "encoders",
        "estimators.py",
        "evaluation",
        "floor",
    ),
    *(
        "language",
        "layers",
        "modalities",
        "models",
        "native",
        "parts.py",
        "pretraining",
        "recommendation",
        "runs",
        "serving",
        "tasks",
        "training",
    ),
    "weights",
)
# Names, numbers and options that are the same in every language.
SAME = {
    "--diff",
    "--format",
    "--kind",
    "--out {}",
    "--rule",
    "--set {}",
    "b'GGUF'",
    "'Bearer KEY'",
    "llama.cpp",
    "logprobs",
    "tonggan serve",
    "tonggan speak",
    # Types of Python, and the field of a recipe or the argument that is wrong.
    "a {}",
    "a {} of {}",
    "a {} that is no table ({})",
    "--jobs",
    "--processes",
    "--engine ray",
    "predict_proba",
    "y",
}
CODE = re.compile(r"[^a-z]*|[^ a-z]*(\w+=)?[^ a-z]*|\[\S+|[a-z]+(\.[\w{}]+)+(=\S+)?")  # nothing in words


@pytest.mark.parametrize("part", SPOKEN)
def test_every_error_is_in_the_catalog(part):
    missing = set()
    place = SOURCE / part
    for path in place.rglob("*.py") if place.is_dir() else [place]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for text in said_by(node) if isinstance(node, ast.Call) else ():
                said = text.replace("{}", "X1")
                if not (text in SAME or CODE.fullmatch(text) or catalog().translate(said) != said):
                    missing.add(f"{path.name}: {text}")
    assert sorted(missing) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "没有这个命令：“nosuch”"),
        (["search"], "用法： tonggan search"),
        (["search", "x"], "│ 请说明要查找什么"),
        (["search", "x", "y", "-k", "0"], "选项“--limit”（-k）的值无效：应大于或等于 1"),
        (["search", "x", "y", "--image", "no.png"], "得到：没有这个文件或文件夹"),
        (["run", "no.csv", "--out", "o"], "应为：YAML 文件，或 assistant"),
        (["code", "search"], "缺少参数“QUERY”"),
        (["code", "corpus", "."], "缺少选项“--out”"),
        (["code", "search", "x", "--nope"], "没有这个选项：--nope"),
        (["fit", "a.csv", "--target", "y", "--out", "o", "z"], "多余的参数：z"),
        (["code", "search", "x", "--limit", "many"], "选项“--limit”的值无效：不是整数"),
        (["code", "search", "x", "--limit", "0"], "选项“--limit”的值无效：应大于或等于 1"),
        (["serve", "smollm2", "--engine", "fast", "--port", "0"], "应为：auto, llamacpp, native, torch 之一"),
        (["chat", "smollm2", "--bits"], "选项“--bits”后面要跟一个值"),
        (["code", "index", "nowhere"], "没有这个文件夹"),
        (["code", "search", "x", "--kind", "verb"], "应为：function, class, file, doc, comment, commit 之一"),
        (["code", "similar", "a.py"], "指明文件和其中的一行"),
        (["code", "complete", "a.py"], "没有行号和列号"),
        (["code", "complete", "nowhere.py:1:1"], "没有这个文件"),
        (["code", "complete", "a.py:1:1", "--set", "threshold=high"], "补全的设置"),
        (["code", "train", "nowhere", "--base", "smollm2", "--out", "x"], "没有文件 manifest.json"),
        (["code", "corpus", ".", "--out", "x", "--licenses", "MTI"], "许可证"),
        (["code", "rollback", "."], "其中没有适配器"),
        (["chat", "nowhere"], "没有这个文件或文件夹"),
        (["serve", "nowhere"], "检查路径；这里不会下载任何内容"),
        (["serve", "smollm2", "--slots", "0"], "slots"),
        (["serve", "smollm2", "smollm2"], "有两个都叫“smollm2”"),
        (["serve", "smollm2", "--api-key-file", "nowhere"], "检查 --api-key-file 给出的路径"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_errors_of_the_code_tools_and_the_server_are_chinese(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "a.py").write_text("x = 1\n")
    outcome = tonggan(*arguments, *(() if "--lang" in arguments else ("--lang", "zh")))
    assert outcome.code in (1, 2)
    assert said in outcome.err
    for line in outcome.err.splitlines():
        assert "Usage:" in line or CHINESE.search(line) or not re.search("[a-z]{2} [a-z]{2}", line), line


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"x,y\n" + b"1,only\n2,only\n" * 9, "训练集每一行的目标“y”都是'only'；没有可区分的内容"),
        (b"x,y\n" + b"1,a\n2,b,c\n" * 9, "3 个值（共有 9 of 18 行如此）"),
        (b'x,y\n1,"a" b\n', "成对的引号"),
        (b"x,y\n1,a\n\xff\xfe\x80,b\n" * 9, "行有不是 UTF-8 的字节"),
        (b"x,y\n" + b"1,\n2,\n3,a\n4,b\n" * 9, "数据，训练部分"),
    ],
)
def test_errors_of_tables_are_chinese(table, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "a.csv").write_bytes(table)
    outcome = tonggan("fit", "a.csv", "--target", "y", "--out", "run", "--lang", "zh")
    assert outcome.code == 1
    assert said in outcome.err
    for line in outcome.err.splitlines()[-4:]:
        assert CHINESE.search(line), line


def test_a_port_in_use_and_a_damaged_corpus_are_told_in_chinese(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = tonggan("serve", "smollm2", "--port", str(taken.getsockname()[1]), "--lang", "zh")
    assert "得到：地址已被占用" in outcome.err
    assert "办法：用 --host 或 --port 另选一个" in outcome.err
    (tmp_path / "manifest.json").write_text("{")
    outcome = tonggan("code", "train", tmp_path, "--base", "smollm2", "--out", tmp_path / "run", "--lang", "zh")
    assert "办法：选择语料所在的文件夹，或用 --out 换一个位置" in outcome.err


def test_an_error_as_one_sentence(chinese, monkeypatch):
    error = DataError("prompt for tiny", got="9 tokens", expected="at least one token", remedy="Write something")
    assert in_words(error) == "给 tiny 的提示：得到 9 个词元，应为 至少一个词元。请写些内容。"
    monkeypatch.setenv(LANGUAGE_VARIABLE, "en")
    assert in_words(error) == str(error)


def test_what_a_run_says_is_in_the_catalog():
    said = set()
    for path in (SOURCE / "runs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("say", "warn")
            ):
                text = template(node.args[0])
                if text and re.search("[a-z]", text.replace("{}", "")):
                    said.add(text)
    assert said
    missing = [text for text in said if not CHINESE.search(catalog().translate(text.replace("{}", "x")))]
    assert missing == []


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("Rows: 360 train, 40 valid, 100 test. Task: multiclass.", "行数：训练 360，验证 40，测试 100。任务：多分类。"),
        ("  photo: image (paths of files that are pictures)", "  photo：图片（文件路径，内容是图片）"),
        (
            "Training: about 90 of 200 steps, about 3 min 10 s, about 850 MB",
            "训练：200 步中的约 90 步，约 3 分 10 秒，内存约 850 MB",
        ),
        ("no column 'x'\ntable a.csv", "没有列“x”\n表格 a.csv"),
        ("what the catalog lacks", "what the catalog lacks"),
        ("Sort these rows", "Sort these rows"),
        (
            "numbers from 2 to 6, with ',' between thousands, in 元, with 万 for 10,000, '无' and '-' count as missing",
            "2 至 6 的数值，以 ',' 分隔千位，单位为 元，万 即 10,000，'无'、'-' 按缺失处理",
        ),
        (
            "text (Chinese), 3 words on average; numbers in different units: 5 with 'kg', 3 without a unit",
            "文本（中文），平均 3 个词；单位不同的数：5 个带“kg”，3 个没有单位",
        ),
        (
            "binary target\n  got:      no value in 1 rows (counted from 1: 31)",
            "二分类目标\n  得到：1 行没有值（从 1 数起：31）",
        ),
    ],
)
def test_sentences_are_found_by_what_stands_around_their_places(english, expected):
    assert catalog().translate(english) == expected


def test_what_fills_a_place_may_hold_braces():
    assert Catalog({"got {}": "得到 {0}"}).translate("got {0} {x}") == "得到 {0} {x}"


def test_a_sentence_that_brings_its_chinese_needs_no_catalog(chinese, monkeypatch):
    said = Bilingual("Doctor: one row", "数据检查：一行")
    assert shown(said) == "数据检查：一行"
    monkeypatch.setenv(LANGUAGE_VARIABLE, "en")
    assert shown(said) == "Doctor: one row"


def test_the_language_is_chosen_by_option_or_locale(monkeypatch):
    for name in (LANGUAGE_VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert language() == "en"
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert language() == "zh"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert language() == "en"
    with speaking("zh"):
        assert language() == "zh"
    assert language() == "en"
    assert take_language(["fit", "a.csv", "--lang", "zh", "--json"]) == (["fit", "a.csv", "--json"], "zh")
    assert take_language(["--lang=en", "info"]) == (["info"], "en")
    searched = ["code", "search", "x", "--lang", "python"]
    assert take_language(searched) == (searched, None)


def test_commands_answer_in_chinese(tmp_path):
    said = tonggan("fit", "--help", "--lang", "zh").out
    assert "用 TRAIN 的其他列训练" in said
    assert "“best”全部尝试" in "".join(said.replace("│", "").split())
    table = tmp_path / "a.csv"
    table.write_text("x,y\n" + "".join(f"{number},{'ab'[number % 2]}\n" for number in range(40)))
    wrong = tonggan("doctor", table, "--target", "z", "--lang", "zh")
    assert "错误：" in wrong.err
    assert "没有列“z”" in wrong.err
    found = tonggan("doctor", table, "--target", "y", "--lang", "zh").out
    assert "类别" in found
    assert "2 个重复出现的不同值" in found
    assert "neither 'en' nor 'zh'" in tonggan("--lang", "fr", "info", tmp_path).err


def test_no_text_is_translated_twice():
    """YAML would take the last one without a word."""
    lines = (SOURCE / "chinese.yaml").read_text(encoding="utf-8").splitlines()
    keys = [match[1] for line in lines if (match := re.match(r'("(?:[^"\\]|\\.)*"|[^" #][^":]*): ', line))]
    assert len(keys) > 1_000
    assert [key for key, count in Counter(keys).items() if count > 1] == []
