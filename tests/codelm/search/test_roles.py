"""What part a unit plays, by its kind and path, and what a question asks for."""

import pytest

from tonggan.codelm.search.roles import role_of, roles_asked


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
