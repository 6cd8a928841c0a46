import pytest

from tonggan.codelm.words import (
    analyze,
    code_words,
    places_of,
    question_words,
    split_identifier,
    symbol_of,
    symbols_in,
    written_as,
)

pytest.importorskip("tantivy")
pytest.importorskip("tantivy")


def test_identifiers_are_taken_apart_and_kept_whole():
    assert code_words("readJSONFile") == ["read", "json", "file", "readjsonfile"]
    assert code_words("parse_http_dates2(x)") == ["pars", "http", "date", "2", "parsehttpdates2", "x"]
    assert split_identifier("__init__") == ["init"]
    assert code_words("word" * 30) == []


def test_spellings_of_one_name_are_one_symbol():
    assert symbol_of("parse_date") == symbol_of("parseDate") == symbol_of("ParseDate") == "parsedate"
    assert symbol_of("读取") == "读取"
    assert "parsedate" in symbols_in("where do we parse date strings")


def test_a_question_loses_what_says_nothing_unless_nothing_would_be_left():
    assert question_words("how to parse a date") == ["pars", "date"]
    assert question_words("how to") == ["how", "to"]
    assert written_as(question_words("number of the directory")) == ["num", "count", "dir", "folder"]


def test_chinese_is_cut_into_words():
    pytest.importorskip("jieba")
    assert "日期" in code_words("# 解析日期 parse")
    assert code_words("café") == ["café"]


def test_places_are_those_of_the_words_in_the_text():
    text = "def parseDates(when):"
    assert [(text[start:end], word) for start, end, word in places_of({"date", "when"}, text)] == [
        ("Dates", "date"),
        ("when", "when"),
    ]


def test_of_chinese_that_runs_on_only_what_is_shared_is_shown():
    pytest.importorskip("jieba")
    text = "# 备份文件保留三十天，数据库另存 café"
    shared = places_of(set(code_words("数据库备份")), text)
    assert [text[start:end] for start, end, _ in shared] == ["备份", "数据库"]
    assert [text[start:end] for start, end, _ in places_of({"café"}, text)] == ["café"]


def test_english_words_are_lowered_and_stemmed():
    assert analyze("The RUNNING runners' cities; Bob's don't") == ["the", "run", "runner", "citi", "bob", "dont"]


def test_widths_and_signs_do_not_matter():
    assert analyze("ＡＢＣ　１２３ snake_case x+y") == ["abc", "123", "snake", "case", "x", "y"]
    assert analyze("Ünïcode naïve Москва") == ["ünïcode", "naïve", "москва"]


def test_chinese_is_cut_into_words_and_the_words_within():
    pytest.importorskip("jieba")
    words = analyze("中华人民共和国 uses 数据库系统")
    assert {"中华人民共和国", "中华", "人民", "共和国", "use", "数据库", "数据"} <= set(words)
    assert set(analyze("数据库")) & set(words)


@pytest.mark.parametrize("text", ["", "  \n", "!?…🙂", "___"])
def test_no_words_is_no_tokens(text):
    assert analyze(text) == []
