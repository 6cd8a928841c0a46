import re

import pytest

from tonggan.codelm import chinese_terms
from tonggan.codelm.chinese_terms import has_chinese, in_english


@pytest.mark.parametrize(
    ("question", "english"),
    [
        ("检查 JSON 文件", "check JSON file"),
        ("Python 怎么去掉文档字符串？", "Python remove docstring ？"),  # the longest term, not document and string
        ("parse a date", "parse a date"),
        ("猫", ""),
    ],
)
def test_terms_are_said_in_english_and_the_rest_is_left_out(question, english):
    assert in_english(question) == english


def test_chinese_is_told_from_other_scripts():
    assert [has_chinese(text) for text in ("日期", "date 的", "date", "дата", "")] == [True, True, False, False, False]


def test_each_term_is_chinese_and_stands_once():
    rows = [row.split() for row in chinese_terms._TERMS.split("|")]
    assert all(re.fullmatch("[\u4e00-\u9fff]+", chinese) and english for chinese, *english in rows)
    assert all(re.fullmatch("[a-z0-9 ]+", " ".join(english)) for _, *english in rows)
    assert len({row[0] for row in rows}) == len(rows)
