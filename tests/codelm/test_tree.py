"""Proposals are written whole, and only where git could give the file back."""

from __future__ import annotations

import subprocess

import pytest

from optimization_scene import UNIQUE
from tonggan.codelm.optimization import apply, optimize
from tonggan.errors import DataError

SLOW = UNIQUE


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "slow.py").write_text(SLOW)
    (folder / "calls.txt").write_text("unique(list(range(80)))\n")
    git(folder, "init", "-q")
    git(folder, "add", "slow.py")
    git(folder, "commit", "-qm", "one")
    return folder, optimize(str(folder / "slow.py"), inputs=folder / "calls.txt")


def test_proposals_are_written_to_a_committed_file_and_to_no_other(made):
    folder, report = made
    file = folder / "slow.py"
    file.write_text(SLOW + "# more\n")
    with pytest.raises(DataError, match="changed since"):
        apply(report)
    assert file.read_text() == SLOW + "# more\n"
    git(folder, "rm", "-q", "--cached", "slow.py")
    git(folder, "commit", "-qm", "two")
    file.write_text(SLOW)
    with pytest.raises(DataError, match="not committed"):
        apply(report)
    assert file.read_text() == SLOW
    git(folder, "add", "slow.py")
    git(folder, "commit", "-qm", "three")
    file.chmod(0o755)
    assert apply(report) == [file]
    assert "dict.fromkeys" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in folder.iterdir()) == [".git", "calls.txt", "slow.py"]
