"""The command line in Chinese: what it says, and that the catalog holds nothing that no code says."""

import ast
import re
from pathlib import Path

import pytest
import typer

from command_line import tonggan
from tonggan.cli.app import _joined, app
from tonggan.cli.translation import shown, speaking, take_language
from tonggan.runs.recipe import load_recipe, recipe_names
from tonggan.wording import LANGUAGE_VARIABLE, Bilingual, Catalog, catalog, language

SOURCE = Path(__file__).parents[2] / "src" / "tonggan"
CHINESE = re.compile("[\u4e00-\u9fff]")

# Which the code puts together of several texts.
OF_TYPER = ("Show this message and exit.",)
OF_PARTS = ("{} different dates or times that repeat", "{} whole numbers from {} to {} that repeat, taken for classes")


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
    return {load_recipe(name).description for name in recipe_names()}


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
        if english in OF_PARTS + OF_TYPER:
            continue
        parts = [part.strip() for part in english.split("{}") if part.strip(" ,.:;()'")]
        if not (english.strip() in known or all(part in pieces for part in parts)):
            unsaid.append(english)
    assert unsaid == []


def test_help_is_chinese_throughout():
    lines = helps(typer.main.get_command(app))
    missing = sorted(line for line in lines if not CHINESE.search(catalog().translate(line)))
    assert missing == []


def test_recipes_are_described_in_chinese():
    assert [said for said in descriptions() if not CHINESE.search(catalog().translate(said))] == []


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
    assert "用 TRAIN 的其他列训练" in tonggan("fit", "--help", "--lang", "zh").out
    table = tmp_path / "a.csv"
    table.write_text("x,y\n" + "".join(f"{number},{'ab'[number % 2]}\n" for number in range(40)))
    wrong = tonggan("doctor", table, "--target", "z", "--lang", "zh")
    assert "错误：" in wrong.err
    assert "没有列“z”" in wrong.err
    found = tonggan("doctor", table, "--target", "y", "--lang", "zh").out
    assert "类别" in found
    assert "2 个重复出现的不同值" in found
    assert "neither 'en' nor 'zh'" in tonggan("--lang", "fr", "info", tmp_path).err
