"""How what was found becomes one list: code first, with room for the rest."""

import pytest

from tonggan.codelm.search.ranking import RERANKED, compared, fused, grouped, role_of, roles_asked

ROLES = {
    **{f"code{number}": "code" for number in range(40)},
    **{f"docs{number}": "docs" for number in range(9)},
    **{f"test{number}": "tests" for number in range(9)},
    **{f"commit{number}": "history" for number in range(9)},
}


@pytest.mark.parametrize(
    ("kind", "path", "role"),
    [
        ("function", "src/app/dates.py", "code"),
        ("function", "src/click/testing.py", "code"),
        ("class", "numpy/testing/_private/utils.py", "code"),
        ("function", "latest.py", "code"),
        ("function", "tests/dates.py", "tests"),
        ("function", "src/app/test_dates.py", "tests"),
        ("function", "pkg/dates_test.go", "tests"),
        ("function", "web/dates.spec.ts", "tests"),
        ("class", "src/main/java/DatesTest.java", "tests"),
        ("function", "conftest.py", "tests"),
        ("doc", "README.md", "docs"),
        ("function", "docs/example.py", "docs"),
        ("doc", "tests/README.md", "tests"),
        ("doc", "CHANGELOG.md", "history"),
        ("doc", "docs/release-notes.rst", "history"),
        ("doc", "docs/changing-colors.md", "docs"),
        ("commit", "", "history"),
    ],
)
def test_kind_and_path_say_the_role(kind, path, role):
    assert role_of(kind, path) == role


def test_words_weigh_less_beside_cosines_that_lie_closer_together():
    words, meaning = {"shares words": 50.0}, {"shares words": 0.80, "means it": 0.84}
    assert [*fused(words=words, meaning=meaning, symbols={})] == ["shares words", "means it"]
    assert [*fused(words=words, meaning=meaning, symbols={}, temperature=0.01)] == ["means it", "shares words"]


def test_a_unit_without_a_vector_yet_is_not_behind_all_that_have_one():
    found = fused(words={"new": 50.0}, meaning={"far": 0.8, "near": 0.85}, symbols={}, temperature=0.01)
    assert [*found] == ["near", "new", "far"]


def test_docstrings_are_no_documents():
    assert roles_asked("去掉文档字符串") == set()
    assert roles_asked("文档在哪里") == {"docs"}


@pytest.mark.parametrize(
    ("question", "roles"),
    [
        ("parse a date", set()),
        ("run a command in a test", set()),
        ("which tests cover dates", {"tests"}),
        ("when was the retry introduced", {"history"}),
        ("documentation of the cache", {"docs"}),
        ("哪个提交改了缓存", {"history"}),
        ("解析日期的测试", {"tests"}),
    ],
)
def test_a_question_says_what_it_wants(question, roles):
    assert roles_asked(question) == roles


def scores_of(*keys):
    return {key: 1.0 - 0.01 * place for place, key in enumerate(keys)}


def test_commits_and_tests_do_not_crowd_out_code():
    keys = [key for key in ROLES if not key.startswith("code")] + ["code0", "code1"]
    found = grouped(scores_of(*keys), ROLES, asked=(), limit=10)
    assert found[:2] == ["code0", "code1"]
    assert len(found) == 10
    assert [key[:4] for key in found[:5]].count("comm") <= 1


def test_all_roles_have_a_place_beside_much_code():
    keys = [*(f"code{number}" for number in range(40)), "docs0", "test0", "commit0"]
    found = grouped(scores_of(*keys), ROLES, asked=(), limit=10)
    assert found == [*(f"code{number}" for number in range(7)), "docs0", "test0", "commit0"]
    assert grouped(scores_of(*keys), ROLES, asked=(), limit=3)[0] == "code0"


def test_what_is_asked_for_comes_first():
    keys = ["code0", "test0", "commit0"]
    assert grouped(scores_of(*keys), ROLES, asked={"history"}, limit=3)[0] == "commit0"
    assert grouped(scores_of(*keys), ROLES, asked={"tests"}, limit=3)[0] == "test0"


def test_documents_that_are_far_better_come_first():
    found = grouped({"docs0": 1.2, "code0": 0.6}, ROLES, asked=(), limit=5)
    assert found == ["docs0", "code0"]


def test_nothing_found_is_nothing_shown():
    assert grouped({}, ROLES, asked=(), limit=5) == []


def test_code_is_compared_word_by_word_however_many_commits_there_are():
    keys = [*(f"commit{number}" for number in range(9)), *(f"code{number}" for number in range(40))]
    chosen = compared(keys, ROLES)
    assert len(chosen) == RERANKED
    assert sum(key.startswith("code") for key in chosen) == 21
