"""``tonggan index``, ``search`` and ``similar``: rows found by words, pictures, sounds and other rows."""

from __future__ import annotations

import json as json_package
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonggan.cli.train import Json, Overrides
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tonggan.space.index import Hit
    from tonggan.space.indexing import Indexed

INDEX_EXAMPLES = """
[bold]Examples[/]

  tonggan fit emojis.csv --task match --out runs/space

  tonggan index runs/space emojis.csv --out indexes/emojis

  tonggan index starter photos/ --out indexes/photos
"""

SEARCH_EXAMPLES = """
[bold]Examples[/]

  tonggan search indexes/emojis "red heart"

  tonggan search indexes/emojis 红心 --in drawing -k 5

  tonggan search indexes/photos --image one.jpg --html found.html

  tonggan search indexes/books "a king and his daughters" --where "year > 1900" --json
"""

SIMILAR_EXAMPLES = """
[bold]Examples[/]

  tonggan similar indexes/emojis 9af7aaf8d941

  tonggan similar indexes/emojis 9af7aaf8d941 --in drawing --json
"""

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder made by 'tonggan index'.")]
Limit = Annotated[int, typer.Option("--limit", "-k", metavar="N", min=1, max=1000, help="How many rows to show.")]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only rows that meet this condition, e.g. 'year > 2020'; may be repeated.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--in", metavar="COL", help="Compare with this column alone; may be repeated."),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact", help="Compare with every row; otherwise 1 in 100 of the nearest may be missed among over 20,000."
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page that shows pictures and clips and plays sounds."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command(epilog=INDEX_EXAMPLES)(index)
    app.command(epilog=SEARCH_EXAMPLES)(search)
    app.command(epilog=SIMILAR_EXAMPLES)(similar)


def index(
    space: Annotated[
        str,
        typer.Argument(
            metavar="RUN|WEIGHTS",
            help="Folder of a space ('tonggan fit TABLE --task match'), 'starter' for the bundled one, or names of "
            "weights joined by +.",
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Table, or folder of pictures, sounds or clips, whose rows are to be found."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="INDEX", help="Folder of the index.")],
    set_: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an index of another table or space.")] = False,
    json: Json = False,
) -> None:
    """Make DATA searchable, or bring its index up to date: rows that have not changed are not read again.

    With weights alone texts are found by texts, pictures and clips by either and sounds by sounds; a space that was
    fitted finds each by every other.
    """
    from tonggan import api
    from tonggan.cli.console import console_progress

    with console_progress() as progress:
        done = api.index(space, data, out=out, settings=set_ or [], overwrite=overwrite, progress=progress)
    _tell(done, out, json)


def _tell(done: Indexed, out: Path, as_json: bool) -> None:
    from tonggan.cli.console import print_json, print_line

    if as_json:
        print_json(done.to_dict())
        return
    print_line(
        shown(f"{done.rows:,} rows in {out}; {done.embedded:,} were new or had changed, {done.forgotten:,} had gone")
    )
    if done.unreadable:
        print_line(shown(f"{done.unreadable:,} files are missing or cannot be read; their rows are found by the rest."))


def search(
    folder: Index,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to look for, in words.")] = None,
    *,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A picture to look for.")] = None,
    audio: Annotated[Path | None, typer.Option(metavar="FILE", help="A recording to look for.")] = None,
    video: Annotated[Path | None, typer.Option(metavar="FILE", help="A clip to look for.")] = None,
    row: Annotated[str | None, typer.Option(metavar="JSON", help="Cells by column to look for.")] = None,
    where: Conditions = None,
    inputs: Inputs = None,
    limit: Limit = 10,
    exact: Exact = False,
    html: Html = None,
    json: Json = False,
) -> None:
    """Find the rows most similar to a query, by words and by meaning, across modalities."""
    from tonggan.cli.console import console_progress
    from tonggan.space.conditions import conditions
    from tonggan.space.index import SpaceIndex

    if all(each is None for each in (text, image, audio, video, row)):
        raise typer.BadParameter(shown("Say what to look for: words, --image, --audio, --video or --row"))
    cells = _cells(row)
    asked = {"image": _content(image), "audio": _content(audio), "video": _content(video)}
    with console_progress() as progress:
        opened = SpaceIndex.open(folder, progress=progress)
        only = conditions(where or [], opened.info.fields)
        hits = opened.search(text, row=cells, where=only, inputs=inputs, limit=limit, exact=exact, **asked)
    _show(hits, opened, html, json)


def similar(
    folder: Index,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a row, as shown by a search.")],
    *,
    where: Conditions = None,
    inputs: Inputs = None,
    limit: Limit = 10,
    exact: Exact = False,
    html: Html = None,
    json: Json = False,
) -> None:
    """Find the rows most similar to another row of the index."""
    from tonggan.cli.console import console_progress
    from tonggan.space.conditions import conditions
    from tonggan.space.index import SpaceIndex

    with console_progress() as progress:
        opened = SpaceIndex.open(folder, progress=progress)
        hits = opened.similar(
            key, where=conditions(where or [], opened.info.fields), inputs=inputs, limit=limit, exact=exact
        )
    _show(hits, opened, html, json)


def _show(hits: Sequence[Hit], opened: Any, html: Path | None, as_json: bool) -> None:
    from tonggan.cli.console import print_json, print_line
    from tonggan.cli.show import show_hits
    from tonggan.space.pages import write_hits

    if html is not None:
        write_hits(html, hits, opened.info)
    if as_json:
        print_json({"hits": [hit.to_dict() for hit in hits]})
        return
    if not hits:
        print_line(shown("Nothing was found."))
        return
    show_hits(hits)
    if html is not None:
        print_line(shown(f"Shown in {html}"))


def _cells(row: str | None) -> dict[str, Any] | None:
    if row is None:
        return None
    try:
        cells = json_package.loads(row)
    except (ValueError, RecursionError):
        cells = None
    if not isinstance(cells, dict):
        wanted = """it should be a JSON object with a cell for each column, such as '{"title": "red shoe"}'"""
        raise typer.BadParameter(shown(wanted), param_hint="--row")
    return cells


def _content(path: Path | None) -> bytes | None:
    from tonggan.space.index import bytes_of

    return None if path is None else bytes_of(str(path), "")
