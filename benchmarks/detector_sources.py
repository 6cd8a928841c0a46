"""The installed packages that a bug detector may learn from, and the manifest that is kept of them.

    python benchmarks/detector_sources.py PACKAGE… --manifest FILE > folders

Prints a folder a line: the standard library's, and those of the packages whose license is permissive. The manifest
holds name, version and license of each; a package under another license, or under none that is known, is named and
left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import sysconfig
from importlib.metadata import Distribution, distribution
from pathlib import Path

from tonggan.codelm.corpus.licenses import PERMISSIVE, license_named

_PARTS_OF_STANDARD = ("asyncio", "collections", "concurrent", "email", "html", "http", "importlib", "json", "logging",
    "multiprocessing", "unittest", "urllib", "wsgiref", "xml", "zipfile.py", "tarfile.py", "argparse.py", "ast.py",
    "configparser.py", "csv.py", "datetime.py", "decimal.py", "difflib.py", "dis.py", "doctest.py", "fractions.py",
    "ftplib.py", "functools.py", "imaplib.py", "inspect.py", "ipaddress.py", "locale.py", "mailbox.py", "optparse.py",
    "pathlib.py", "pdb.py", "pickle.py", "plistlib.py", "random.py", "shutil.py", "smtplib.py", "socket.py", "ssl.py",
    "statistics.py", "subprocess.py", "tempfile.py", "textwrap.py", "threading.py", "tokenize.py", "traceback.py",
    "turtle.py", "typing.py", "uuid.py", "weakref.py")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--manifest", type=Path, required=True)
    arguments = parser.parse_args()
    standard = Path(sysconfig.get_path("stdlib"))
    folders = [standard / part for part in _PARTS_OF_STANDARD if (standard / part).exists()]
    manifest = [{"package": "python", "version": platform.python_version(), "license": "PSF-2.0"}]
    for name in arguments.packages:
        package = distribution(name)
        found = license_of(package)
        if found is None:
            print(f"{name} is left out: its license is not known to be permissive", file=sys.stderr)
            continue
        manifest.append({"package": package.name, "version": package.version, "license": found})
        tops = {file.parts[0] for file in package.files or () if file.suffix == ".py" and len(file.parts) > 1}
        folders += [Path(str(package.locate_file(top))) for top in sorted(tops) if top.isidentifier()]
    arguments.manifest.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    print(*folders, sep="\n")


def license_of(package: Distribution) -> str | None:
    """The permissive license, or one of several to choose from, that the metadata name."""
    told = [package.metadata.get("License-Expression"), package.metadata.get("License")]
    told += [each.split(" :: ")[-1] for each in package.metadata.get_all("Classifier") or () if "License ::" in each]
    for text in filter(None, told):
        known = [license_named(part) for part in re.split(r" OR ", text)]
        allowed = [each for each in known if each in PERMISSIVE]
        if allowed:
            return allowed[0]
    return None


if __name__ == "__main__":
    main()
