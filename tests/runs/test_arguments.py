from pathlib import Path

from tonggan.progress import Progress
from tonggan.runs.arguments import chosen_folder, split_sources, with_given


class Said(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_tables_in_memory_and_paths_are_kept_apart():
    rows = {"a": [1, 2]}
    assert split_sources({"train": Path("t.csv"), "valid": rows, "test": None}) == ({"train": "t.csv"}, {"valid": rows})


def test_what_is_given_by_an_argument_joins_the_settings():
    assert with_given({"seed": 3}, {"seed": 1, "column": "a", "license": None}) == {"seed": 3, "column": "a"}
    assert with_given(["seed=3"], {"column": "a", "license": None}) == ["column=a", "seed=3"]


def test_a_new_folder_is_told_and_never_one_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = Said()
    first = chosen_folder(None, "a price/€", said)
    first.mkdir(parents=True)
    second = chosen_folder(None, "a price/€", said)
    assert first != second
    assert first.name.startswith("a_price_-")
    assert said.lines == [f"The run is in {first}", f"The run is in {second}"]
    assert chosen_folder("x", "a", said) == Path("x")
