"""Licenses from texts, notices and metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from tonggan.codelm.corpus.licenses import PERMISSIVE, FolderLicenses, allowed_licenses, license_named, license_of_text
from tonggan.codelm.source_file import read_source
from tonggan.errors import ConfigError

MIT = "Copyright (c) 2020 A\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of this"
BSD2 = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted"
BSD3 = BSD2 + " provided that\n * Neither the name of the copyright holder nor the names of its contributors"
GPL3 = "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIT, "MIT"),
        (BSD2, "BSD-2-Clause"),
        (BSD3, "BSD-3-Clause"),
        (GPL3, "GPL-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999", "LGPL-2.1"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3", "AGPL-3.0"),
        ("Apache License\n Version 2.0, January 2004", "Apache-2.0"),
        ("# Licensed under the Apache License,\n# Version 2.0 (the", "Apache-2.0"),
        ("Mozilla Public License Version 2.0", "MPL-2.0"),
        ("This is free and unencumbered software released into the public domain.", "Unlicense"),
        (
            "/* Permission to use, copy, modify, and/or distribute this\n * software for any purpose with or without",
            "ISC",
        ),
        ("All rights reserved.", None),
    ],
)
def test_texts(text, expected):
    assert license_of_text(text) == expected


def test_the_license_of_this_project():
    assert license_of_text((Path(__file__).parents[3] / "LICENSE").read_text()) == "Apache-2.0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("MIT", "MIT"), ("mit license", "MIT"), ("GPL-3.0-or-later", "GPL-3.0"), ("(Apache-2.0)", "Apache-2.0"),
     ("BSD", "BSD-3-Clause"), ("MIT OR GPL-3.0", None), ("Proprietary", None), (MIT * 2, "MIT")],
)  # fmt: skip
def test_names(name, expected):
    assert license_named(name) == expected


@pytest.fixture
def license_of(tmp_path):
    def license_of(files: dict[str, str], name: str, **options) -> str:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        source = read_source(tmp_path / name, root=tmp_path)
        return FolderLicenses(tmp_path, **options).of(source)

    return license_of


def test_the_nearest_license_counts(license_of):
    files = {"LICENSE": MIT, "a.py": "x = 1\n", "old/COPYING": GPL3, "old/deep/b.py": "x = 1\n"}
    files["old/own.py"] = "# SPDX-License-Identifier: ISC\nx = 1\n"
    files["old/notice.c"] = "/* Licensed under the Apache License, Version 2.0 */\n"
    files["old/checker.py"] = "import re\nPATTERN = 'Licensed under the Apache License, Version 2.0'\n"
    files["sold.py"] = "# SPDX-License-Identifier: LicenseRef-Commercial\nx = 1\n"
    assert license_of(files, "a.py") == "MIT"
    assert license_of(files, "sold.py") == "unknown"
    assert license_of(files, "old/deep/b.py") == "GPL-3.0"
    assert license_of(files, "old/own.py") == "ISC"
    assert license_of(files, "old/notice.c") == "Apache-2.0"
    assert license_of(files, "old/checker.py") == "GPL-3.0"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", '[project]\nlicense = "MIT"\n'),
        ("pyproject.toml", '[project]\nlicense = {text = "MIT License"}\n'),
        ("Cargo.toml", '[package]\nlicense = "MIT"\n'),
        ("package.json", '{"license": "MIT"}'),
    ],
)
def test_descriptions_of_packages(license_of, file, text):
    assert license_of({file: text, "src/a.py": "x = 1\n"}, "src/a.py") == "MIT"


@pytest.mark.parametrize("text", ["[", "[project", '{"license": 3}', "[1]", ""])
def test_damaged_descriptions_say_nothing(license_of, text):
    files = {"pyproject.toml": text, "package.json": text, "Cargo.toml": text, "a.py": "x = 1\n"}
    assert license_of(files, "a.py") == "unknown"


def test_an_installed_package(license_of, tmp_path):
    metadata = "Metadata-Version: 2.4\nName: x\nClassifier: License :: OSI Approved :: Apache Software License\n\nText"
    files = {"x-1.0.dist-info/METADATA": metadata, "x/a.py": "x = 1\n"}
    assert license_of(files, "x/a.py", metadata=tmp_path / "x-1.0.dist-info") == "Apache-2.0"


def test_the_license_above_a_part_of_a_work_tree(tmp_path, license_of):
    (tmp_path / ".git").mkdir()
    license_of({"LICENSE": MIT, "src/a.py": "x = 1\n"}, "src/a.py")
    source = read_source(tmp_path / "src" / "a.py", root=tmp_path / "src")
    assert FolderLicenses(tmp_path / "src").of(source) == "MIT"


def test_choosing_licenses():
    assert allowed_licenses(["permissive"]) == PERMISSIVE
    assert allowed_licenses(["mit", "GPL-3.0", "unknown"]) == {"MIT", "GPL-3.0", "unknown"}
    with pytest.raises(ConfigError, match="got 'MTI', expected permissive, unknown, or of"):
        allowed_licenses(["MTI"])
