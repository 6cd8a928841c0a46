"""The code of notebooks."""

from __future__ import annotations

import json

import pytest

from tonggan.codelm.notebook import read_notebook
from tonggan.codelm.source_file import read_source


def cell(kind: str, source: str | list[str]) -> dict:
    return {"cell_type": kind, "source": source, "outputs": [{"text": "no output is kept"}]}


def test_code_cells_are_joined_and_prose_becomes_comments():
    notebook = {
        "cells": [
            cell("markdown", "# Title\n\nSome words."),
            cell("code", ["%matplotlib inline\n", "x = 10 % 3\n", "  !ls\n", "print?"]),
            cell("code", ""),
            cell("code", "%%bash\nls"),
            cell("raw", "raw"),
        ],
        "metadata": {"kernelspec": {"language": "python"}},
    }
    assert read_notebook(json.dumps(notebook)) == (
        "python",
        "# # Title\n#\n# Some words.\n\n"
        "# %matplotlib inline\nx = 10 % 3\n  # !ls\n# print?\n\n# %%bash\n# ls\n\n# raw\n",
    )


def test_other_languages_and_the_older_format():
    notebook = {"cells": [cell("markdown", "Hello"), cell("code", "val x = 1")]}
    notebook["metadata"] = {"language_info": {"name": "Scala"}}
    assert read_notebook(json.dumps(notebook)) == ("scala", "// Hello\n\nval x = 1\n")
    older = {"metadata": {}, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"]}]}]}
    assert read_notebook(json.dumps(older)) == ("python", "x = 1\n")
    assert read_notebook('{"cells": [], "metadata": {}}') == ("python", "")


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"source": 1}]}', "[" * 10**5]
)
def test_what_is_no_notebook(text, tmp_path):
    assert read_notebook(text) is None
    (tmp_path / "a.ipynb").write_text(text)
    assert read_source(tmp_path / "a.ipynb", root=tmp_path).reason == "damaged notebook"


def test_half_a_surrogate_pair_does_no_harm():
    _, text = read_notebook('{"cells": [{"cell_type": "code", "source": "x = \'\\ud83d\'"}]}')
    assert text == "x = '?'\n"
