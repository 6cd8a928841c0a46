"""The newest files are held out where there is a history, else some that stay held out when others come."""

import pytest

from tonggan.codelm.corpus.shards import Document
from tonggan.codelm.training.holdout import hold_out
from tonggan.errors import DataError

DAY = 24 * 3600


def documents(count, *, step):
    return [Document("shop", f"file{n}.py", "python", "MIT", 0, 10, 1_700_000_000 + n * step, "") for n in range(count)]


def test_by_time_the_last_changed_are_held_out():
    holdout = hold_out(documents(20, step=DAY), share=0.2)
    assert (holdout.kind, holdout.held_out) == ("time", (16, 17, 18, 19))
    assert holdout.train == tuple(range(16))


def test_files_that_were_copied_together_are_split_by_name():
    files = documents(200, step=1)
    holdout = hold_out(files, share=0.1)
    assert holdout.kind == "file"
    assert 8 <= len(holdout.held_out) <= 32
    assert sorted((*holdout.train, *holdout.held_out)) == list(range(200))
    assert set(hold_out(files[:150], share=0.1).held_out) == {each for each in holdout.held_out if each < 150}
    assert hold_out(files, share=0.1, seed=1) != holdout


def test_one_file_cannot_be_split():
    with pytest.raises(DataError, match="1 documents, expected at least two"):
        hold_out(documents(1, step=1))
    assert len(hold_out(documents(2, step=1)).held_out) == 1
