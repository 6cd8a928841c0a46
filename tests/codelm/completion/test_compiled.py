"""What compiled modules hold: those of this interpreter's own library, and no others."""

import sys

from tonggan.codelm.completion.compiled import compiled_names


def test_modules_of_the_standard_library_are_known():
    assert "decompressobj" in (compiled_names("zlib") or ())
    assert "intern" in (compiled_names("sys") or ())


def test_no_other_module_is_imported(tmp_path, monkeypatch):
    (tmp_path / "zlib_of_a_stranger.py").write_text("raise SystemExit\n")
    (tmp_path / "_crypt.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert compiled_names("zlib_of_a_stranger") is None
    assert compiled_names("_crypt") is None
    assert compiled_names("json") is None
    assert "zlib_of_a_stranger" not in sys.modules
