"""Examples that do not do what they show, where the user has asked for them to be run."""

from __future__ import annotations

from collections.abc import Iterator

from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.registry import EXAMPLE_OUTPUT, EXAMPLE_RAISES, rule
from tonggan.codelm.review.repository import Repository


@rule(EXAMPLE_RAISES)
def examples_that_raise(repository: Repository) -> Iterator[Finding]:
    """An example of a docstring or document raises what it does not show, in two runs.

    Silent unless examples are run. What needs the network, a file, a missing package or a name that the page does not
    define is left out. Known false alarms: an example that needs data or settings that a test prepares for it.
    """
    yield from _findings(repository, has_raised=True)


@rule(EXAMPLE_OUTPUT)
def examples_of_other_output(repository: Repository) -> Iterator[Finding]:
    """An example prints something else than it shows, twice the same.

    Silent unless examples are run; spaces, ``...``, quotes and digits beyond those shown do not count. Known false
    alarms: output that depends on the machine or on the versions of packages.
    """
    yield from _findings(repository, has_raised=False)


def _findings(repository: Repository, *, has_raised: bool) -> Iterator[Finding]:
    for failed in repository.failed_examples:
        if failed.has_raised == has_raised and failed.path in repository.reviewed:
            example = failed.example
            source = example.source.strip().splitlines()
            error = failed.got.splitlines()[-1] if failed.got else ""
            shown = (example.raises or example.want).strip() or "no error"
            message = f"the example raises {error}" if has_raised else "the example does not give what it shows"
            line = repository.lines_of(failed.path)[example.line - 1]
            column = len(line) - len(line.lstrip()) + 1
            yield Finding(
                EXAMPLE_RAISES if has_raised else EXAMPLE_OUTPUT,
                failed.path,
                example.line,
                example.line,
                column,
                max(column + 1, len(line.rstrip()) + 1),
                message,
                (
                    Evidence(source[0] if len(source) == 1 else f"{source[0]} …", failed.path, example.line),
                    Evidence(f"shown: {shown}"),
                    Evidence(f"now: {failed.got or 'nothing'}"),
                ),
                0.8 if example.is_session else 0.7,
            )
