"""Sources of consecutive releases of packages, whose changes hold fixes of one line: what ``code_bugs.py fixes`` reads.

    python benchmarks/code_releases.py PACKAGE… --into releases --newest 12

Each package gets a folder with one folder of Python files for each release, the newest ones that are no pre-releases.
Wheels are unpacked rather than source distributions, which pip would have to run to know their dependencies; nothing of
a package is run. What is there already is not asked for again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

_FINAL = re.compile(r"\d+(?:\.\d+)+(?:\.post\d+)?")
_LARGEST = 2_000_000  # bytes of a file that is kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--newest", type=int, default=12, help="releases of each package")
    arguments = parser.parse_args()
    for package in arguments.packages:
        done = [version for version in versions_of(package)[: arguments.newest]
                if fetch(package, version, arguments.into / package / version)]  # fmt: skip
        print(f"{package}: {' '.join(done)}", flush=True)


def versions_of(package: str) -> list[str]:
    """The releases of a package, the newest first."""
    told = pip("index", "versions", package)
    listed = re.search(r"^Available versions: (.+)$", told, re.MULTILINE)
    return [version for version in listed[1].split(", ") if _FINAL.fullmatch(version)] if listed else []


def fetch(package: str, version: str, into: Path) -> bool:
    """Unpack the Python files of one release; whether there is a wheel of it."""
    if into.is_dir():
        return True
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--only-binary", ":all:", "--no-deps", "--dest", folder, f"{package}=={version}")
        for wheel in Path(folder).glob("*.whl"):
            unpack(wheel, into)
    return into.is_dir()


def unpack(wheel: Path, into: Path) -> None:
    """Write the Python files of a wheel below ``into``, which appears whole or not at all."""
    made = into.with_name(f"{into.name}.part")
    with zipfile.ZipFile(wheel) as archive:
        for each in archive.infolist():
            path = PurePosixPath(each.filename)
            if path.suffix == ".py" and ".." not in path.parts and not path.is_absolute() and each.file_size < _LARGEST:
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_bytes(archive.read(each))
    if made.is_dir():
        made.rename(into)


def pip(*arguments: str) -> str:
    """What pip prints; nothing where it fails, as where there is no such wheel for this machine."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    main()
