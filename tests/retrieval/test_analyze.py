import pytest

from tonggan.retrieval.analyze import analyze

pytest.importorskip("tantivy")


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
