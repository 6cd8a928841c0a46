import pytest

from command_line import assert_named, tonggan
from review_scene import written
from tonggan.codelm.review import review

MODULE = '''
    """Prices.

    >>> total([1, 2])
    4
    """
    import random
    import socket

    def total(prices):
        """Their sum.

        >>> total([1, 2])
        3
        >>> total([0.1, 0.2])
        0.3000
        >>> total(["a"])
        Traceback (most recent call last):
            ...
        TypeError: unsupported operand
        >>> sum_of([1])
        1
        >>> total([3])
        4
        """
        return sum(prices)

    def chance():
        """
        >>> chance() + 1
        0.5
        """
        return random.random()

    def ask():
        """
        >>> ask()
        'page'
        """
        return socket.create_connection(("127.0.0.1", 9))

    def leave():
        """
        >>> import os; os._exit(3)
        """

    def words():
        """
        >>> words()   # quotes do not count
        ["a", 'b']
        >>> words()  # doctest: +SKIP
        None
        """
        return ["a", "b"]
'''
PAGE = """
    # Prices

    ```python
    from prices import total

    print(total([1, 2]))
    ```

    ```python
    total(rows)
    import no_such_package_at_all
    ```

    ```python
    total(3)
    ```

    <!-- tonggan: ignore[example-raises] -->
    ```python
    total(4)
    ```

    ```python
    raise ValueError("no table rows.csv: " + "rows.csv")
    ```

    ```pycon
    >>> total([5])
    6
    ```
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = written(tmp_path_factory.mktemp("code"), {"prices.py": MODULE, "README.md": PAGE})
    before = {path: path.read_text() for path in folder.rglob("*")}
    found = review([folder], with_examples=True)
    assert {path: path.read_text() for path in folder.rglob("*")} == before
    return found


def test_examples_that_do_not_do_what_they_show_are_found(found):
    told = {(each.path, each.start_line, each.rule): each for each in found.findings}
    assert sorted(told) == [
        ("README.md", 16, "example-raises"),
        ("README.md", 29, "example-output"),
        ("prices.py", 4, "example-output"),
        ("prices.py", 21, "example-raises"),
    ]
    assert (
        told["prices.py", 21, "example-raises"].message == "the example raises NameError: name 'sum_of' is not defined"
    )
    evidence = [each.text for each in told["prices.py", 4, "example-output"].evidence]
    assert evidence == ["total([1, 2])", "shown: 4", "now: 3"]
    assert "TypeError" in told["README.md", 16, "example-raises"].message


def test_what_says_nothing_of_the_code_is_counted_or_named(found):
    assert found.hidden == {
        "examples that need the network": 1,
        "examples that end their process": 1,
        "examples that use a name that their page does not define": 1,
        "examples that need a file or an answer": 1,
        "ignored by a comment": 1,
    }
    assert found.problems == {"prices.py:30": "an example whose two runs differ"}
    assert found.examples.num_run == 11


def test_nothing_runs_unasked(tmp_path):
    ran = 'def f():\n    """\n    >>> f()\n    1\n    """\n    return 2\n'
    folder = written(tmp_path, {"a.py": ran})
    assert review([folder]).findings == ()
    assert_named(tonggan("code", "review", folder, "--rule", "example-output"), "--run-examples as well", code=2)
    asked = tonggan("code", "review", folder, "--run-examples")
    assert asked.code == 1
    assert "[example-output]" in asked.out
    assert "1 examples ran" in asked.out
