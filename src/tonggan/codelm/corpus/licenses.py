"""Under which license a file stands, as an SPDX identifier, from what lies beside it; no lawyer's answer.

The nearest counts: a line in the file itself, then a license file in its folder or one above, then the metadata of its
package. Of a text that offers a choice, or that is none of the known licenses, nothing is said.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from tonggan.codelm.source_file import SourceFile, read_source
from tonggan.errors import ConfigError

PERMISSIVE = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "HPND", "ISC", "MIT", "MIT-0", "NCSA"}
    | {"PSF-2.0", "Unlicense", "WTFPL", "Zlib"}
)
"""Licenses that ask for no more than to be named; ``permissive`` where licenses are chosen."""

UNKNOWN = "unknown"
"""The license of a file of which none was found."""

_SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]+?)\s*(?:\*/|-->|$)", re.MULTILINE)
_MAX_LICENSE = 200_000  # characters of a text in which a license is looked for
_HEADER = 4000  # characters of a file in which its license may be told, above its first line of code
_CODE = re.compile(
    r"^(?:import|from|package|namespace|#include|def|class|use|using|const|var|let|fn|func)\b", re.MULTILINE
)
_FILE_NAME = re.compile(r"^(?:un)?licen[cs]e|^copying|^(?:mit|apache|bsd)-?licen[cs]e", re.IGNORECASE)

# Words that only one license has, the longer name before the shorter one that is part of it.
_TEXTS = tuple(
    (license_, re.compile(pattern))
    for license_, pattern in (
        ("AGPL-3.0", r"gnu affero general public license"),
        ("LGPL-2.1", r"gnu lesser general public license.{0,40}version 2\.1"),
        ("LGPL-3.0", r"gnu lesser general public license.{0,40}version 3"),
        ("GPL-3.0", r"gnu general public license.{0,40}version 3"),
        ("GPL-2.0", r"gnu general public license.{0,40}version 2"),
        ("MPL-2.0", r"mozilla public license,? ?(?:version|v\.) ?2\.0"),
        ("EPL-2.0", r"eclipse public license - v 2\.0"),
        ("PSF-2.0", r"python software foundation license version 2"),
        ("Apache-2.0", r"apache license,? version 2\.0|licensed under the apache license"),
        ("BSL-1.0", r"boost software license - version 1\.0"),
        ("CC0-1.0", r"cc0 1\.0 universal"),
        ("Unlicense", r"this is free and unencumbered software released into the public domain"),
        (
            "ISC",
            r"permission to use, copy, modify, and/?(?:or)? distribute this software for any purpose with or without",
        ),
        (
            "HPND",
            r"permission to use, copy, modify,? and distribute this software and its documentation for any purpose",
        ),
        ("Zlib", r"this software is provided 'as-is', without any express or implied warranty.{0,400}altered source"),
        ("MIT", r"permission is hereby granted, free of charge, to any person obtaining a copy|\bmit license"),
        (
            "BSD-3-Clause",
            r"redistribution and use in source and binary forms.{0,1200}"
            r"(?:neither the name|names? of .{0,200}may not be used to endorse)|\b(?:3-clause|new) bsd licen[cs]e",
        ),
        ("BSD-2-Clause", r"redistribution and use in source and binary forms"),
    )
)

# What packages write where an identifier should stand.
_COLLOQUIAL = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "psf": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
_KNOWN = {name.lower(): name for name in (*PERMISSIVE, *(license_ for license_, _ in _TEXTS))}


def license_of_text(text: str) -> str | None:
    """The license whose text, or whose notice, ``text`` is; None where it is none that is known."""
    marks = r"(?<![#*/;])[#*/;]++(?=\s|$)|^[ \t]*+(?:--|dnl|rem)\s"
    flat = " ".join(re.sub(marks, " ", text[:_MAX_LICENSE].lower(), flags=re.MULTILINE).split())
    found = [(license_, match.start()) for license_, pattern in _TEXTS if (match := pattern.search(flat[:40_000]))]
    return min(found, key=lambda pair: pair[1])[0] if found else None


def license_named(name: str) -> str | None:
    """The identifier for what a package's metadata says, such as ``MIT License`` or ``GPL-3.0-or-later``."""
    plain = name.strip().strip("()").lower().removesuffix("-or-later").removesuffix("-only").removesuffix("+")
    if plain in _KNOWN or plain in _COLLOQUIAL:
        return _KNOWN.get(plain) or _COLLOQUIAL[plain]
    return license_of_text(name) if len(name) > 100 else None


def allowed_licenses(names: Iterable[str]) -> frozenset[str]:
    """The identifiers that ``names`` stand for: identifiers, ``permissive`` or ``unknown``.

    Raises:
        ConfigError: a name that is none of the known licenses.
    """
    allowed: set[str] = set()
    for name in names:
        if name == "permissive":
            allowed |= PERMISSIVE
        elif name.lower() in _KNOWN or name == UNKNOWN:
            allowed.add(_KNOWN.get(name.lower(), name))
        else:
            raise ConfigError(
                "licenses",
                got=f"'{name}'",
                expected=f"permissive, {UNKNOWN}, or of {', '.join(sorted(_KNOWN.values()))}",
                remedy="Correct the name, or leave the choice out to take every license",
            )
    return frozenset(allowed)


class FolderLicenses:
    """The licenses of the files of one repository.

    Args:
        folder: of the repository; above it only what is in the same work tree of git counts.
        metadata: a folder with a Python package's ``METADATA`` and license files, where it is installed.
    """

    def __init__(self, folder: Path, *, metadata: Path | None = None) -> None:
        trees = (above for above in (folder, *folder.parents) if (above / ".git").exists())
        self._top = folder if "site-packages" in folder.parts else next(trees, folder)
        self._metadata = metadata
        self._of_folder: dict[Path, str | None] = {}

    def of(self, source: SourceFile) -> str:
        """The license of one of its files, ``unknown`` where there is none."""
        return self._in_file(source.text[:_HEADER]) or self._near(source.path.parent) or self._of_package or UNKNOWN

    def _in_file(self, head: str) -> str | None:
        named = _SPDX.search(head)
        if named:
            return license_named(named[1]) or UNKNOWN  # a license of its own, whatever the repository's is
        code = _CODE.search(head)
        head = head[: code.start()] if code else head
        return license_of_text(head) if "licen" in head.lower() or "Permission" in head else None

    def _near(self, folder: Path) -> str | None:
        """That of the nearest license file, or of a package's description, from ``folder`` upwards."""
        if folder not in self._of_folder:
            found = _license_file(folder) or _described(folder)
            if found is None and self._top in folder.parents:
                found = self._near(folder.parent)
            self._of_folder[folder] = found
        return self._of_folder[folder]

    @cached_property
    def _of_package(self) -> str | None:
        if self._metadata is None:
            return None
        named = _in_metadata(self._metadata / "METADATA")
        return named or _license_file(self._metadata) or _license_file(self._metadata / "licenses")


def _license_file(folder: Path) -> str | None:
    try:
        paths = sorted(path for path in folder.iterdir() if _FILE_NAME.match(path.name) and path.suffix != ".py")
    except OSError:
        return None
    return next((found for path in paths if (found := license_of_text(_text_of(path)))), None)


def _described(folder: Path) -> str | None:
    """What ``pyproject.toml``, ``Cargo.toml`` or ``package.json`` says."""
    try:
        if (folder / "package.json").is_file():
            license_ = json.loads(_text_of(folder / "package.json")).get("license")
            return license_named(license_) if isinstance(license_, str) else None
        for name, table in (("pyproject.toml", "project"), ("Cargo.toml", "package")):
            if (folder / name).is_file():
                license_ = tomllib.loads(_text_of(folder / name)).get(table, {}).get("license")
                text = license_.get("text", "") if isinstance(license_, dict) else license_
                return license_named(text) if isinstance(text, str) else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return None


def _in_metadata(path: Path) -> str | None:
    """The license that an installed package's ``METADATA`` names."""
    head = _text_of(path).split("\n\n", 1)[0]
    for pattern in (r"^License-Expression: (.+)$", r"^License: (.+)$", r"^Classifier: License :: (?:.* :: )?(.+)$"):
        for match in re.finditer(pattern, head, re.MULTILINE):
            named = license_named(match[1])
            if named:
                return named
    return None


def _text_of(path: Path) -> str:
    source = read_source(path, root=path.parent)
    return source.text if isinstance(source, SourceFile) else ""
