from review_scene import messages
from tonggan.codelm.review.rules.swallowed_exceptions import SWALLOWED

FETCH = """
    class FetchError(Exception): ...

    def fetch(path):
        try:
            return open_it(path)
        except FetchError:
            {}

    def first():
        try:
            return fetch("a")
        except FetchError:
            print("none")

    def second():
        try:
            return fetch("b").size
        except (ValueError, FetchError):
            print("none")
"""


def test_what_callers_catch_and_the_function_swallows_is_told(tmp_path):
    for body in ("pass", "return None", "return"):
        said = ["fetch swallows FetchError, which 2 of its callers catch"]
        assert messages(tmp_path, FETCH.format(body), SWALLOWED) == said


def test_what_is_told_or_may_still_come_out_is_not(tmp_path):
    assert messages(tmp_path, FETCH.format("raise"), SWALLOWED) == []
    assert messages(tmp_path, FETCH.format("print(path)"), SWALLOWED) == []
    other = FETCH.format("pass").replace("def fetch(path):", "def fetch(path):\n        check(path)")
    assert messages(tmp_path, other, SWALLOWED) == []
    one = FETCH.format("pass").replace("except (ValueError, FetchError)", "except ValueError")
    assert messages(tmp_path, one, SWALLOWED) == []
