import pytest

from review_scene import written
from tonggan.codelm.review import review

PACKAGE = {
    "src/shop/__init__.py": "from shop.cart import Cart, total\n",
    "src/shop/cart.py": """
        def total(prices, *, currency="EUR"):
            return sum(prices)

        def anything(**options):
            return options

        class Cart:
            def __init__(self, owner, limit=3):
                self.owner = owner

            def add(self, name, count=1):
                return name
    """,
}


def told(tmp_path, page, name="README.md", rules=("document-name", "document-argument")):
    return [each.message for each in review([written(tmp_path, PACKAGE | {name: page})], only=rules).findings]


def fenced(code):
    return f"# Page\n\n```python\n{code}\n```\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from shop import Basket", "the example uses 'Basket' of shop, which has no such name"),
        ("from shop.cart import totals", "the example uses 'totals' of shop.cart, which has 'total'"),
        ("import shop\nshop.total([1])\nshop.sum([1])", "the example uses 'sum' of shop, which has no such name"),
        ("import shop\nshop.total([1], money='x')", "the example passes shop.total 'money', which it does not accept"),
        ("from shop import Cart\nCart('me', limits=3)", "the example passes Cart 'limits', which calls it 'limit'"),
        (
            "from shop import Cart\ncart = Cart('me')\ncart.add('a', number=2)",
            "the example passes cart.add 'number', which it does not accept",
        ),
        (">>> from shop import total\n>>> total([1], corency='x')\n1", "the example passes total 'corency', which"),
    ],
)
def test_what_the_repository_lacks_is_told(code, message, tmp_path):
    (found,) = told(tmp_path, fenced(code))
    assert found.startswith(message)


@pytest.mark.parametrize(
    "code",
    [
        "from shop import Cart, total, cart\nCart('me').add('a', count=2)\ntotal([1], currency='x')",
        "from shop.cart import anything\nanything(x=1)",
        "import numpy\nnumpy.total([1], money=1)",
        "from shop import total\ntotal = other\ntotal([1], money=1)",
        "from shop import total\ntotal([1], ...",
        "total([1], money=1)",
    ],
)
def test_what_is_not_sure_is_silent(code, tmp_path):
    assert told(tmp_path, fenced(code)) == []


def test_restructured_text_and_earlier_blocks_count(tmp_path):
    block = ".. code-block:: python\n\n   "
    page = f"Page\n====\n\n{block}from shop import total\n\nThen:\n\n{block}total(a=1)\n"
    assert told(tmp_path, page, "docs/page.rst") == ["the example passes total 'a', which it does not accept"]
    assert told(tmp_path, "", "docs/page.rst") == []
    assert told(tmp_path, fenced("from shop import Basket"), "CHANGELOG.md") == []


def test_the_place_and_the_suggestion_are_those_of_the_page(tmp_path):
    page = "Text\n\n- a list:\n\n  ```python\n  from shop import Cart\n  Cart('é', limits=3)\n  ```\n"
    (found,) = review([written(tmp_path, PACKAGE | {"README.md": page})]).findings
    line = page.split("\n")[found.start_line - 1]
    assert line[found.start_column - 1 : found.end_column - 1] == "limits"
    assert found.edit is not None
    assert (found.edit.start_line, found.edit.text) == (7, "limit")


COMMANDS = {
    "pyproject.toml": '[project]\nname = "shop"\n[project.scripts]\nshop = "shop.main:run"\n',
    "shop/__init__.py": "",
    "shop/main.py": """
        import argparse
        from shop import more

        def run():
            parser = argparse.ArgumentParser()
            parser.add_argument("--count", type=int)
            more.add(parser)
            parser.parse_args()
    """,
    "shop/more.py": "def add(parser):\n    parser.add_argument('-v', '--verbose')\n",
    "tool.py": "import typer\n\ndef main(dry_run: bool = False): ...\n\ntyper.run(main)\n",
    "plain.py": "import sys\nprint(sys.argv)\n",
}


def options(tmp_path, text):
    page = f"```bash\n{text}\n```\n"
    found = review([written(tmp_path, COMMANDS | {"README.md": page})], only=["document-option"]).findings
    return [each.message for each in found]


def test_options_that_no_program_defines_are_told(tmp_path):
    assert options(tmp_path, "shop --count 3 --verbose") == []
    assert options(tmp_path, "$ shop --coun 3 | grep --color x") == []  # argparse takes the beginning of an option
    assert options(tmp_path, "shop \\\n  --amount 3") == [
        "the command has the option --amount, which shop.main does not define"
    ]
    assert options(tmp_path, "python -m shop.main --size=3  # --note") == [
        "the command has the option --size, which shop.main does not define"
    ]
    assert options(tmp_path, "python tool.py --dry-run --no-dry-run --help") == []
    assert options(tmp_path, "python tool.py --wet-run") == [
        "the command has the option --wet-run, which tool.py does not define"
    ]
    assert options(tmp_path, "python plain.py --x\nother --y\nshop -- --z") == []
