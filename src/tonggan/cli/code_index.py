"""``tonggan code index``, ``search``, ``similar`` and ``mcp``: what a repository holds, found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.codelm.search import CodeIndex, Hit
    from tonggan.codelm.search.ranking import Role

Root = Annotated[
    Path, typer.Option("--root", metavar="PATH", help="The repository; its index is brought up to date first.")
]
IndexFolder = Annotated[
    Path | None, typer.Option("--index", metavar="FOLDER", help="Where the index is kept, if not in the cache.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of results.")]
Fresh = Annotated[bool, typer.Option("--refresh/--no-refresh", help="Read what changed before the search.")]

_HEADINGS: dict[str, Role] = {"Code": "code", "Documents": "docs", "Tests": "tests", "History": "history"}

INDEX_EXAMPLES = """
[bold]Examples[/]

  tonggan code index .

  tonggan code index . --embedder none      [dim]by words and symbols alone[/]

The index keeps its embedder until another one is named.
"""

SEARCH_EXAMPLES = """
[bold]Examples[/]

  tonggan code search "parse a date with timezone"

  tonggan code search "retry with backoff" --lang python --kind function --json
"""

SIMILAR_EXAMPLES = """
[bold]Examples[/]

  tonggan code similar src/app/dates.py:42
"""

MCP_EXAMPLES = """
[bold]Examples[/]

  tonggan code mcp --root .

An assistant starts it itself, e.g. with {"command": "tonggan", "args": ["code", "mcp", "--root", "/path"]}.
"""


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command(epilog=INDEX_EXAMPLES)(index)
    app.command(epilog=SEARCH_EXAMPLES)(search)
    app.command(epilog=SIMILAR_EXAMPLES)(similar)
    app.command(epilog=MCP_EXAMPLES)(mcp)


def index(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The repository, or any folder with code.")],
    *,
    folder: IndexFolder = None,
    embedder: Annotated[
        str | None, typer.Option(metavar="EMBEDDER", help="'minilm', 'e5', a folder of 'code tune', or 'none'.")
    ] = None,
    json: Json = False,
) -> None:
    """Index a repository for search; later runs read only what changed."""
    from tonggan.cli.console import console_progress, print_json, print_line, visible
    from tonggan.codelm.search.opening import open_index

    with console_progress() as progress:
        opened = open_index(path, folder=folder, embedder=embedder)
        done = opened.refresh(progress=progress)
        for name, reason in sorted(done.skipped.items()):
            progress.say(f"Skipped {visible(name)}: {reason}")
    counts = opened.count()
    if json:
        print_json({**vars(done), "units": counts, "root": str(opened.root)})
        return
    units = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    print_line(shown(f"{done.num_files:,} files ({done.num_changed:,} read, {done.num_deleted:,} gone): {units}"))


def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to find, in plain words or by name.")],
    *,
    root: Root = Path(),
    lang: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Only this language, e.g. python.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only function, class, file, doc, comment or commit. May be repeated."),
    ] = None,
    limit: Limit = 10,
    folder: IndexFolder = None,
    refresh: Fresh = True,
    json: Json = False,
) -> None:
    """Find functions, classes, files, documents, comments and commits."""
    from tonggan.cli.console import stderr
    from tonggan.codelm.units import UNIT_KINDS, UnitKind
    from tonggan.errors import ConfigError

    for name in kind or ():
        if name not in UNIT_KINDS:
            raise ConfigError(
                "--kind", got=f"'{name}'", expected=f"one of {', '.join(UNIT_KINDS)}", remedy="Choose one of these"
            )
    opened = _open(root, folder, refresh=refresh)
    kinds = cast("list[UnitKind]", kind) if kind else None
    note = opened.note_on(query)
    if note is not None:
        stderr.print(shown(note), style="yellow", soft_wrap=True)
    _show(opened.search(query, limit=limit, language=lang, kinds=kinds), json=json)


def similar(
    place: Annotated[str, typer.Argument(metavar="FILE:LINE", help="A line of a function, class or section.")],
    *,
    root: Root = Path(),
    limit: Limit = 10,
    folder: IndexFolder = None,
    refresh: Fresh = True,
    json: Json = False,
) -> None:
    """Find code similar to that around a line."""
    from tonggan.errors import ConfigError

    name, _, line = place.rpartition(":")
    if not name or not re.fullmatch("[0-9]{1,9}", line):
        raise ConfigError("place", got=f"'{place}'", expected="FILE:LINE", remedy="Name a file and a line of it")
    opened = _open(root, folder, refresh=refresh)
    path = Path(name).resolve()
    if path.is_relative_to(opened.root):
        name = path.relative_to(opened.root).as_posix()
    _show(opened.similar(name, int(line), limit=limit), json=json)


def mcp(
    *,
    root: Root = Path(),
    folder: IndexFolder = None,
) -> None:
    """Serve the search to assistants that speak the Model Context Protocol, on standard input and output."""
    from tonggan.codelm.mcp_server import serve

    serve(root, folder=folder)


def _open(root: Path, folder: Path | None, *, refresh: bool) -> CodeIndex:
    from tonggan.cli.console import console_progress
    from tonggan.codelm.search.opening import open_index
    from tonggan.errors import StoreBusyError

    with console_progress() as progress:
        opened = open_index(root, folder=folder)
        if refresh:
            try:
                opened.refresh(progress=progress)
            except StoreBusyError as error:
                progress.say(f"Searching the index as it is: {error.got}.")
    return opened


def _show(hits: list[Hit], *, json: bool) -> None:
    from tonggan.cli.console import print_json, print_line

    if json:
        print_json([as_json(hit) for hit in hits])
        return
    for heading, role in _HEADINGS.items():
        group = [hit for hit in hits if hit.role == role]
        if group:
            print_line(shown(heading))
        for hit in group:
            _show_hit(hit)
    if not hits:
        print_line(shown("Nothing found."))


def _show_hit(hit: Hit) -> None:
    from tonggan.cli.console import print_line, visible

    unit = hit.unit
    place = f"{unit.path}:{unit.start_line}" if unit.path else unit.qualified_name[:12]
    print_line(visible(f"  {place}  {unit.qualified_name if unit.path else unit.name}"))
    for reason in hit.reasons:
        if reason.text.strip():
            number = "" if reason.line is None else str(reason.line)
            print_line(f"  {number:>7} | {_highlighted(visible(reason.text), reason.marks).strip()}")


def as_json(hit: Hit) -> dict[str, Any]:
    """A hit as plain data."""
    from dataclasses import asdict

    reasons = [asdict(reason) for reason in hit.reasons]
    return {**asdict(hit.unit), "role": hit.role, "score": round(hit.score, 4), "reasons": reasons}


def _highlighted(text: str, marks: tuple[tuple[int, int], ...]) -> str:
    """The words in bold where a terminal shows it; as they are elsewhere."""
    import sys

    if not sys.stdout.isatty():
        return text
    for start, end in sorted(marks, reverse=True):
        text = f"{text[:start]}\x1b[1m{text[start:end]}\x1b[0m{text[end:]}"
    return text
