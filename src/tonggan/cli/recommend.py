"""``tonggan recommend``, and ``tonggan fit --task recommend``: who may like what."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.recommendation.recommender import Recommendation

TASK = "recommend"

RECOMMEND_EXAMPLES = """
[bold]Examples[/]

  tonggan recommend runs/films --user 196

  tonggan recommend runs/films --likes "50,172,181" -k 5

  tonggan recommend runs/films --similar 1 --json
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=RECOMMEND_EXAMPLES)(recommend)


def recommend(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    *,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user of the table of interactions.")] = None,
    likes: Annotated[
        str | None,
        typer.Option(
            metavar="IDS",
            help="What somebody else likes: ids of items, separated by commas; those with a comma in quotes.",
        ),
    ] = None,
    similar: Annotated[str | None, typer.Option(metavar="ID", help="An item, to find what is like it.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also recommend what the user has taken already.")
    ] = False,
    few_likes: Annotated[
        bool, typer.Option("--few-likes", help="Only items that hardly anybody has liked so far, by what they are.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")] = False,
) -> None:
    """Recommend items to a user, to somebody new by what they like, or items like another one, with the reason."""
    from tonggan.cli.console import print_json
    from tonggan.recommendation.recommender import open_recommender

    if sum(given is not None for given in (user, likes, similar)) != 1:
        raise typer.BadParameter("name exactly one of --user, --likes and --similar", param_hint="'--user'")
    recommender = open_recommender(run)
    if similar is not None:
        found = recommender.similar(similar, k=k)
    else:
        liked = None if likes is None else _ids(likes)
        if liked == []:
            raise typer.BadParameter("name at least one id", param_hint="'--likes'")
        found = recommender.recommend(user, likes=liked, k=k, include_seen=include_seen, few_likes=few_likes)
    if json:
        print_json({"run": str(run), "recommendations": [each.to_dict() for each in found]})
    else:
        _show(found)


def _ids(written: str) -> list[str]:
    """As CSV has them, so that an id may hold a comma."""
    rows = csv.reader(written.splitlines(), skipinitialspace=True)
    return [each.strip() for row in rows for each in row if each.strip()]


def _show(found: Sequence[Recommendation]) -> None:
    from tonggan.cli.console import print_line, visible

    if not found:
        print_line(shown("Nothing is left to recommend; --include-seen also names what the user has taken already"))
    for place, each in enumerate(found, start=1):
        name = str(each.item) + ("" if each.title is None else f"  {each.title}")
        print_line(visible(f"{place:3}. {name}"))
        reason = _reason(each)
        if reason:
            print_line(visible(f"     {reason}"))


def _reason(each: Recommendation) -> str:
    """Why it is recommended, on one line."""
    because = [title or str(item) for item, title in zip(each.because, each.because_titles, strict=True)]
    parts = [shown(f"liked with {', '.join(because)}")] if because else []
    if each.shares:
        parts.append(shown(f"shares {', '.join(each.shares)}"))
    return "; ".join(parts) or shown(f"liked by {each.likes:,} users")


def refuse(given: Mapping[str, Any], *, problem: str = "cannot be combined with --task recommend") -> None:
    """Nothing, where none of the options is given.

    Raises:
        typer.BadParameter: one of them is, which is a ``problem``.
    """
    for option, value in given.items():
        if value is not None and value != []:
            raise typer.BadParameter(problem, param_hint=f"'{option}'")


def fit(
    interactions: str,
    *,
    items: str | None,
    users: str | None,
    out: Path,
    settings: Sequence[str],
    time_limit: str | None,
    overwrite: bool,
    json: bool,
) -> None:
    """``tonggan fit INTERACTIONS --task recommend``."""
    from tonggan import api
    from tonggan.cli.console import console_progress, print_json

    with console_progress() as progress:
        recommender = api.fit_recommender(
            interactions,
            items=items,
            users=users,
            out=out,
            settings=settings,
            time_limit=time_limit,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(recommender.results)
    else:
        _show_results(recommender.results, out)


def _show_results(results: Mapping[str, Any], out: Path) -> None:
    """A table for each group of users: a row for each member."""
    from tonggan.cli.console import print_line

    k = results["k"]
    test = results["test"]
    users, new, cold_users, num_cold = (f"{test[name]:,}" for name in ("users", "new_users", "cold_users", "num_cold"))
    titles = {
        "warm": f"Test, {users} users with earlier likes ({new} have none and are not counted):",
        "cold": f"Test, among the {num_cold} items with at most {results['cold']} likes, {cold_users} users:",
    }
    for part, title in titles.items():
        if not test[part]:
            continue
        print_line(shown(title))
        heads = (f"nDCG@{k}", "95 %", f"recall@{k}", f"hit@{k}", "coverage", "bias")
        print_line("  " + " " * 16 + "".join(f"{head:>13}" for head in heads))
        for name, found in test[part].items():
            metrics, bounds = found["metrics"], found["intervals"].get("ndcg")
            span = "" if bounds is None else f"{bounds[0]:.3f}–{bounds[1]:.3f}"
            cells = [f"{metrics['ndcg']:.4f}", span, f"{metrics['recall']:.4f}", f"{metrics['hit_rate']:.4f}"]
            cells += [f"{metrics['coverage']:.3f}", f"{metrics.get('popularity_bias', float('nan')):.2f}"]
            print_line(f"  {name:16}" + "".join(f"{cell:>13}" for cell in cells))
    print_line(shown(f"Report: {out / 'report.html'}"))
    print_line(shown(f"Recommend: tonggan recommend {out} --user ID"))
