"""``tonggan code complete``: what could stand at a place of a file, and why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.codelm.completion.document import Document, Suggestion
    from tonggan.codelm.workspace import Workspace

CodeModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="'smollm2', a model folder, a .gguf file, or a run of 'code train'; else what 'code use' named.",
    ),
]

USE_EXAMPLES = """
[bold]Examples[/]

  tonggan code use models/Qwen2.5-Coder-0.5B

  tonggan code use qwen2.5-coder-1.5b-q8_0.gguf

  tonggan code use smollm2      [dim]back to the one that is used by default[/]

  tonggan code use              [dim]says which one it is[/]
"""

COMPLETE_EXAMPLES = """
[bold]Examples[/]

  tonggan code complete src/app.py:120:9

  tonggan code complete src/app.py:120:9 --model runs/code --json

  tonggan code complete src/app.py:120:9 --set threshold=0 --set num_candidates=5
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=COMPLETE_EXAMPLES)(complete)
    app.command(epilog=USE_EXAMPLES)(use)


def complete(
    place: Annotated[
        str, typer.Argument(metavar="FILE:LINE:COL", help="Where the cursor is; lines and columns count from 1.")
    ],
    *,
    model: CodeModel = None,
    index: Annotated[
        bool, typer.Option("--index/--no-index", help="Read similar code from the repository's index, if there is one.")
    ] = True,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another setting of completion, e.g. multiline=never."),
    ] = None,
    json: Json = False,
) -> None:
    """Suggest what comes next at a place in a file, and show which snippets the model read, and why."""
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.codelm.completion.config import CompletionConfig
    from tonggan.codelm.completion.open import open_completer, repository_of
    from tonggan.codelm.workspace import Workspace
    from tonggan.config import apply_overrides

    config = CompletionConfig.parse(apply_overrides({}, set_ or []), who="settings of completion")
    path, line, column = _read_place(place)
    workspace = Workspace(repository_of(path))
    document, offset = _document(path, line, column, workspace)
    if index:
        workspace.index = index_of(workspace.root)
    with console_progress() as progress:
        completer = open_completer(model, workspace=workspace, config=config, progress=progress)
        found = completer.complete(document, offset)
    if json:
        suggestions = [_plain(each) for each in found]
        print_json({"file": str(path), "offset": offset, "model": completer.model.name, "suggestions": suggestions})
    else:
        _show(found, document, offset, workspace)
        print_line(shown(f"Model: {completer.model.name}"))


def use(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="'smollm2', a model folder, a .gguf file, or a run of 'code train'."),
    ] = None,
) -> None:
    """Choose the model that completes code: in 'code complete', 'code lsp', and 'serve' where no other is named."""
    from tonggan.cli.console import print_line
    from tonggan.codelm.completion.open import model_in_use, use_model

    if model is None:
        print_line(model_in_use())
        return
    reads = "what comes before and after the cursor" if use_model(model) else "only what comes before the cursor"
    print_line(shown(f"Code is completed with {model_in_use()} from now on. It reads {reads}."))


def _read_place(text: str) -> tuple[Path, int, int]:
    from tonggan.errors import ConfigError

    found = re.fullmatch(r"(.+):([0-9]{1,9}):([0-9]{1,9})", text)
    if found is None or not int(found[2]) or not int(found[3]):
        raise ConfigError(
            f"place {text}",
            got="no line and column" if found is None else "a line or column of 0",
            expected="FILE:LINE:COL, both counted from 1",
            remedy="Write e.g. src/app.py:120:9",
        )
    return Path(found[1]).absolute(), int(found[2]), int(found[3])


def _document(path: Path, line: int, column: int, workspace: Workspace) -> tuple[Document, int]:
    from tonggan.codelm.completion.document import Document
    from tonggan.codelm.source_file import Skipped, read_source
    from tonggan.errors import ConfigError, DataError

    source = read_source(path, root=workspace.root if path.is_relative_to(workspace.root) else path.parent)
    if isinstance(source, Skipped):
        reason = "no such file" if source.reason == "vanished" else source.reason
        raise DataError(
            f"file {path}",
            got=" ".join(filter(None, (reason, source.detail))),
            expected="a source file",
            remedy="Check the path",
        )
    lines = source.text.split("\n")
    if line > len(lines) or column > len(lines[line - 1]) + 1:
        has = f"line {line} with {len(lines[line - 1])} characters" if line <= len(lines) else f"{len(lines)} lines"
        raise ConfigError(
            f"place {path}:{line}:{column}", got=has, expected="a place inside the file", remedy="Check line and column"
        )
    before = [*lines[: line - 1], lines[line - 1][: column - 1]]
    text = source.newline.join(lines)  # offsets count the characters of the file as it is
    return Document(path, text, source.language or "text"), len(source.newline.join(before))


def index_of(root: Path) -> Any:
    """The index of a repository; None where it has none."""
    from tonggan.codelm.search.code_index import CodeIndex, index_folder

    return CodeIndex.open(root) if index_folder(root).is_dir() else None


def _plain(suggestion: Suggestion) -> dict[str, Any]:
    sources = [
        {"path": str(each.path), "lines": [each.start_line, each.end_line], "reason": each.reason, "score": each.score}
        for each in suggestion.sources
    ]
    return {
        "text": suggestion.text,
        "start": suggestion.start,
        "end": suggestion.end,
        "confidence": suggestion.confidence,
        "notes": list(suggestion.notes),
        "why": sources,
    }


def _show(found: list[Suggestion], document: Document, offset: int, workspace: Workspace) -> None:
    from tonggan.cli.console import print_line

    if not found:
        print_line(shown("No suggestion: nothing is sure enough here. --set threshold=0 shows all."))
        return
    before = document.text[:offset].rpartition("\n")[2]
    for suggestion in found:
        print_line(f"{before}{suggestion.text}")
        print_line("  " + " · ".join([shown(f"confidence {suggestion.confidence:.2f}"), *suggestion.notes]))
    print_line(shown("Why:" if found[0].sources else "Why: this file only, the text before the cursor."))
    for snippet in found[0].sources:
        name = workspace.name_of(snippet.path)
        print_line(f"  {name}:{snippet.start_line}-{snippet.end_line}  {snippet.reason}")
