"""Git is asked in repositories whose configuration names programs for everything that git could start: none runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tonggan.codelm.corpus.repositories import find_repositories, last_changes
from tonggan.codelm.git import run_git
from tonggan.codelm.units import commits_of
from tonggan.codelm.walk import walk
from tonggan.errors import DataError

PROGRAMS = (
    "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.gitProxy",
    "core.alternateRefsCommand", "sequence.editor", "gpg.program", "gpg.openpgp.program", "gpg.ssh.program",
    "gpg.ssh.defaultKeyCommand", "gpg.x509.program", "diff.external", "diff.evil.command", "diff.evil.textconv",
    "merge.evil.driver", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "credential.helper",
    "pager.log", "interactive.diffFilter", "uploadpack.packObjectsHook", "remote.origin.uploadpack",
    "remote.origin.receivepack", "remote.origin.vcs", "trailer.evil.command", "submodule.evil.update", "alias.log",
    "alias.ls-files", "difftool.evil.cmd", "mergetool.evil.cmd", "man.evil.cmd", "browser.evil.cmd", "web.browser",
    "receive.procReceiveRefs", "sendemail.smtpServer", "trace2.eventTarget",
)  # fmt: skip
SETTINGS = {
    "log.showSignature": "true",
    "core.repositoryformatversion": "1",
    "extensions.partialClone": "origin",
    "remote.origin.promisor": "true",
    "protocol.allow": "always",
    "protocol.ext.allow": "always",
    "submodule.recurse": "true",
    "core.untrackedCache": "true",
    "diff.submodule": "log",
    "pager.ls-files": "true",
}
URLS = (
    "ssh://127.0.0.1/x",
    "ext::{program}",
    "git://127.0.0.1/x",
    "evil::x",
    "file:///{program}",
    "https://127.0.0.1:9/x",
)
HOOKS = ("post-index-change", "reference-transaction", "fsmonitor-watchman", "post-checkout", "pre-auto-gc", "pre-push")


def git(folder: Path, *arguments: str, **options) -> str:
    names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True, env=os.environ | names, **options
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    (root / "a.py").write_text("def add(a, b):\n    return a + b\n")
    (root / ".gitattributes").write_text("* diff=evil filter=evil merge=evil\n")
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", "first commit, which says something")
    return root


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "ran"


def make_hostile(root: Path, mark: Path, url: str) -> None:
    program = root / ".git" / "program.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> {mark}\nexit 1\n')
    program.chmod(0o755)
    commit = git(root, "cat-file", "commit", "HEAD")
    signed = commit.replace("\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n a\n\n", 1)
    git(root, "update-ref", "HEAD", git(root, "hash-object", "-t", "commit", "-w", "--stdin", input=signed))
    promised = git(root, "rev-parse", "HEAD")
    git(root, "commit", "-q", "--allow-empty", "-m", "second commit, which says more")
    (root / ".git" / "objects" / promised[:2] / promised[2:]).unlink()
    for hook in HOOKS:
        (root / ".git" / "hooks").mkdir(exist_ok=True)
        (root / ".git" / "hooks" / hook).write_bytes(program.read_bytes())
        (root / ".git" / "hooks" / hook).chmod(0o755)
    lines = [f"[include]\n\tpath = {root / '.git' / 'more'}\n"]
    settings = SETTINGS | dict.fromkeys(PROGRAMS, str(program)) | {"remote.origin.url": url.format(program=program)}
    for name, value in settings.items():
        section, *rest, key = name.split(".")
        lines.append(f"[{section}{''.join(f' {chr(34)}{each}{chr(34)}' for each in rest)}]\n\t{key} = {value}\n")
    (root / ".git" / "more").write_text(f"[core]\n\tpager = {program}\n")
    with (root / ".git" / "config").open("a") as file:
        file.write("".join(lines))
    subprocess.run(["touch", "-d", "2001-01-01", root / "a.py"], check=True)  # so that git looks into it again


@pytest.mark.parametrize("url", URLS)
def test_no_program_of_a_repository_runs(repository, mark, url, monkeypatch):
    make_hostile(repository, mark, url)
    for name in ("GIT_EXTERNAL_DIFF", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_PAGER", "GIT_EDITOR", "GIT_ASKPASS"):
        monkeypatch.setenv(name, str(repository / ".git" / "program.sh"))
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ssh:ext:file:git:evil:https")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repository / ".git" / "program.sh"))
    evil = repository / ".git" / "git-remote-evil"
    evil.write_bytes((repository / ".git" / "program.sh").read_bytes())
    evil.chmod(0o755)
    monkeypatch.setenv("PATH", f"{evil.parent}:{os.environ['PATH']}")
    assert [path.name for path in walk(repository)] == [".gitattributes", "a.py"]
    commits_of(repository)
    for found in find_repositories([repository]):
        last_changes(found)
    run_git(repository, "rev-parse", "--verify", "--quiet", "HEAD")
    run_git(repository, "log", "-p", "HEAD")
    assert not mark.exists(), mark.read_text()


def test_the_settings_of_that_test_do_start_programs(repository, mark):
    """Asked as anybody asks git, the same repository starts its programs: the test above can fail."""
    make_hostile(repository, mark, URLS[0])
    subprocess.run(["git", "-C", repository, "status"], capture_output=True, check=False)
    subprocess.run(["git", "-C", repository, "log", "-p"], capture_output=True, check=False)
    assert mark.exists()


def test_a_folder_that_looks_like_a_repository_is_none(repository, mark):
    inside = repository / "inside"
    git(repository, "init", "-q", "--bare", str(inside))
    with (inside / "config").open("a") as file:
        file.write(f"[core]\n\tworktree = {repository}\n\tfsmonitor = touch {mark}\n")
    assert run_git(inside, "ls-files", "-z", "--cached") is None
    assert not mark.exists()


def test_time_and_output_are_bounded(repository):
    os.mkfifo(repository / ".gitignore")
    with pytest.raises(DataError, match=r"git ls-files .* no answer within 0.5 s"):
        run_git(repository, "ls-files", "--others", "--exclude-standard", seconds=0.5)
    with pytest.raises(DataError, match="more than 3 bytes"):
        run_git(repository, "ls-files", max_bytes=3)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_repository_of_another_user_is_told(repository):
    for path in [repository, *repository.rglob("*")]:
        os.chown(path, 12345, 12345)
    left_out: dict[Path, str] = {}
    assert [path.name for path in walk(repository, left_out=left_out)] == ["a.py"]
    assert "belongs to another user" in left_out[repository]


def test_a_list_of_files_leads_nowhere_else(repository, tmp_path):
    """An index may name files behind links, or above the repository."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.py").write_text("SECRET = 1\n")
    (repository / "link").mkdir()
    (repository / "link" / "private.py").write_text("\n")
    git(repository, "add", "--all")
    (repository / "link" / "private.py").unlink()
    (repository / "link").rmdir()
    (repository / "link").symlink_to(outside)
    assert [path.name for path in walk(repository)] == [".gitattributes", "a.py"]
