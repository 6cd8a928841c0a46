"""Python processes that are started in a folder with files named as modules: none of these is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tonggan.processes import forget_folder, isolated_children, isolated_command, isolated_environment

# What Python itself reads before it runs anything, ``-m`` included, is out of reach of every program.
NEEDED = subprocess.run(
    [sys.executable, "-c", "import sys, runpy, pkgutil, encodings.idna; print(*sys.modules)"],
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
INSTALLED = ["torch", "numpy", "jedi", "parso", "tantivy", "typer", "rich", "sitecustomize", "usercustomize"]
SHADOWED = sorted({*sys.stdlib_module_names, *INSTALLED} - {name.partition(".")[0] for name in NEEDED})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose files say that they ran; an environment that leads to it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + ' ')\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", f":.:{tmp_path / 'absolute'}")
    return folder


def ran(folder: Path) -> str:
    mark = folder.parent / "ran"
    return mark.read_text() if mark.exists() else ""


def test_an_isolated_command_imports_nothing_from_the_folder(folder):
    done = subprocess.run(isolated_command("tonggan", "--version"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tonggan ")
    assert ran(folder) == ""


def test_an_isolated_environment_keeps_what_the_user_named(folder):
    program = "import sqlite3, sys; print(sys.path)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=isolated_environment(), capture_output=True, text=True, check=True)
    assert str(folder.parent / "absolute") in done.stdout
    assert ran(folder) == ""
    subprocess.run(command, capture_output=True, check=False)
    assert ran(folder) != ""


def test_the_environment_is_as_it_was_afterwards(folder):
    before = dict(os.environ)
    with isolated_children():
        subprocess.run([sys.executable, "-c", "import sqlite3"], capture_output=True, check=True)
    assert dict(os.environ) == before
    assert ran(folder) == ""


def test_the_folder_is_forgotten(folder, monkeypatch):
    absolute = str(folder.parent / "absolute")
    monkeypatch.setattr(sys, "path", [str(folder), absolute, *sys.path])
    forget_folder()
    assert str(folder) not in sys.path
    assert absolute in sys.path


def test_python_m_tonggan_imports_nothing_from_the_folder(folder, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    (folder / "sitecustomize.py").unlink()
    (folder / "usercustomize.py").unlink()
    done = subprocess.run([sys.executable, "-m", "tonggan", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tonggan ")
    assert ran(folder) == ""
