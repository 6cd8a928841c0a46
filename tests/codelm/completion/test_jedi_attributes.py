import pytest

from tonggan.codelm.completion.jedi_attributes import JediAttributes
from tonggan.codelm.completion.syntax import Syntax

pytest.importorskip("jedi", reason="jedi is in the extra 'code'")

CODE = "class Meter:\n    def read(self): return 1\n\ndef make(): return Meter()\n\nmake()\n"


def test_jedi_knows_what_functions_return_and_what_is_late_comes_later(tmp_path):
    syntax, path = Syntax.of(CODE, "python"), tmp_path / "a.py"
    end = len(syntax.content) - 1
    patient = JediAttributes(seconds=60)
    assert "read" in patient.ending_at(syntax, end, path=path)
    hurried = JediAttributes(seconds=0)
    assert hurried.ending_at(syntax, end, path=path) is None
    hurried._worker.shutdown(wait=True)
    assert "read" in hurried.ending_at(syntax, end, path=path)


def test_code_that_jedi_fails_on_has_no_known_attributes(tmp_path, monkeypatch):
    attributes = JediAttributes(seconds=60)

    def fail(*_arguments, **_options):
        raise IndexError("inside jedi")

    monkeypatch.setattr(attributes, "_script", fail)
    syntax = Syntax.of(CODE, "python")
    assert attributes.ending_at(syntax, len(syntax.content) - 1, path=tmp_path / "a.py") is None
