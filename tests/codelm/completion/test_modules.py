import sys

import pytest

from tonggan.codelm.completion.modules import JediAttributes, Modules
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace

pytest.importorskip("jedi", reason="jedi is in the extra 'code'")

CODE = "class Meter:\n    def read(self): return 1\n\ndef make(): return Meter()\n\nmake()\n"


def test_where_modules_are(tmp_path):
    package = tmp_path / "src" / "shop"
    (package / "parts").mkdir(parents=True)
    for name in ("__init__.py", "goods.py", "parts/__init__.py", "parts/wheel.py"):
        (package / name).write_text("x = 1\n")
    modules = Modules(Workspace(tmp_path))
    importer = package / "parts" / "wheel.py"

    def find(name):
        return modules.find(name, importer=importer)

    assert find("shop.goods") == find("..goods") == package / "goods.py"
    assert find(".") == package / "parts" / "__init__.py"
    assert find("json").name == "__init__.py"
    assert find("nothing_of_this_name") is None
    assert modules.has_folder("shop", importer=importer)
    assert "x" in modules.parsed(package / "goods.py")[1].bindings
    assert modules.parsed(tmp_path / "gone.py") is None


def test_jedi_knows_what_functions_return_and_what_is_late_comes_later(tmp_path):
    syntax, path = Syntax.of(CODE, "python"), tmp_path / "a.py"
    end = len(syntax.content) - 1
    patient = JediAttributes(tmp_path, seconds=60)
    assert "read" in patient.ending_at(syntax, end, path=path)
    hurried = JediAttributes(tmp_path, seconds=0)
    assert hurried.ending_at(syntax, end, path=path) is None
    hurried._worker.shutdown(wait=True)
    assert "read" in hurried.ending_at(syntax, end, path=path)


def test_code_that_jedi_fails_on_has_no_known_attributes(tmp_path, monkeypatch):
    attributes = JediAttributes(tmp_path, seconds=60)

    def fail(*_arguments, **_options):
        raise IndexError("inside jedi")

    monkeypatch.setattr(attributes, "_script", fail)
    syntax = Syntax.of(CODE, "python")
    assert attributes.ending_at(syntax, len(syntax.content) - 1, path=tmp_path / "a.py") is None


def test_nothing_of_the_repository_runs(tmp_path, monkeypatch):
    """A package that jedi imports by default, an interpreter of the repository's, an extension module, a path hook."""
    root = tmp_path / "repository"
    mark = tmp_path / "ran"
    interpreter = root / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(f'#!/bin/sh\ntouch {mark}\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (root / ".jedi").mkdir()
    (root / ".jedi" / "project.json").write_text(
        f'[1, {{"path": "{root}", "environment_path": "{interpreter}", "load_unsafe_extensions": true}}]'
    )
    for name in ("gi", "sitecustomize", "usercustomize", "jedi", "parso", "pickle"):
        (root / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("VIRTUAL_ENV", str(root / ".venv"))
    monkeypatch.setenv("PYTHONPATH", ":.")
    syntax = Syntax.of(f"import gi\n{CODE}", "python")
    attributes = JediAttributes(root, seconds=60)
    assert "read" in attributes.ending_at(syntax, len(syntax.content) - 1, path=root / "a.py")
    syntax = Syntax.of("import gi\ngi", "python")
    attributes.ending_at(syntax, len(syntax.content), path=root / "a.py")
    assert not mark.exists()
