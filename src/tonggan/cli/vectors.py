"""``tonggan vectors``: the word vectors that a run has learned, as a text file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.use import RunFolder

if TYPE_CHECKING:
    from tonggan.encoders.text_word2vec import TextWord2Vec

EXAMPLES = """
[bold]Examples[/]

  tonggan vectors runs/first --out vectors.txt

  tonggan vectors runs/first --input title --out vectors.txt
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(vectors)


def vectors(
    run: RunFolder,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Output file; an existing one is replaced.")],
    input_name: Annotated[
        str | None, typer.Option("--input", metavar="NAME", help="The column of texts, where several have vectors.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the word vectors that a run's encoder text_word2vec has learned, in word2vec's text format.

    gensim, spaCy and the encoder text_word2vec itself (its field vectors) read such files.
    """
    from tonggan.cli.console import print_json, print_line
    from tonggan.cli.output_path import check_no_input
    from tonggan.encoders.word2vec import write_vectors

    check_no_input(out, [f"{run}/*"], option="--out")
    name, encoder = _encoder(run, input_name)
    found = encoder.vectors()
    write_vectors(out, found)
    if json:
        print_json({"out": str(out), "input": name, "words": len(found), "width": encoder.embedding.embedding_dim})
    else:
        print_line(f"{out}: {len(found):,} words of '{name}', {encoder.embedding.embedding_dim} dimensions each")


def _encoder(run: Path, input_name: str | None) -> tuple[str, TextWord2Vec]:
    from tonggan.encoders.text_word2vec import TextWord2Vec
    from tonggan.errors import ConfigError
    from tonggan.runs.bundle import Bundle

    network = Bundle.load(run).network
    encoders = {} if network is None else dict(zip(network.names, network.encoders, strict=True))
    found = {name: each for name, each in encoders.items() if isinstance(each, TextWord2Vec)}
    if input_name is None and len(found) == 1:
        return next(iter(found.items()))
    if input_name in found:
        return input_name, found[input_name]
    raise ConfigError(
        f"run {run}",
        got=f"word vectors of {', '.join(found)}" if found else "no encoder text_word2vec",
        expected="an input whose encoder is text_word2vec",
        remedy="Name one with --input" if found else "Fit a run with --set model.encoders.NAME.kind=text_word2vec",
    )
