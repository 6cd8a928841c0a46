"""The rules of a review by name; each is a callable in a file of its own under ``review/rules/``.

Another package adds its own by an entry point of the group ``tonggan.parts`` that names a module with a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.repository import Repository
from tonggan.parts import import_modules, load_parts

Check = Callable[[Repository], Iterable[Finding]]
LEARNED = "learned-bug"
"""The rule that wants a trained detector."""
EXAMPLE_RAISES, EXAMPLE_OUTPUT = "example-raises", "example-output"
"""Those that want examples to be run."""


@dataclass(frozen=True)
class Rule:
    """A rule of a review.

    Attributes:
        name: what the user calls it.
        check: what finds.
        ruff: codes of ruff's rules that mean the same; where ruff says it, the review does not.
        is_wide: whether it reads all files of the repository, and not only those that are reviewed.
    """

    name: str
    check: Check
    ruff: tuple[str, ...] = ()
    is_wide: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return (self.check.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").rstrip(".")


_RULES: dict[str, Rule] = {}


def rule(name: str, *, ruff: tuple[str, ...] = (), is_wide: bool = False) -> Callable[[Check], Check]:
    """Register a rule; its docstring says what it believes, and which of its alarms are known to be false.

    Args:
        name: of the rule.
        ruff: as in ``Rule``.
        is_wide: likewise.
    """

    def register(check: Check) -> Check:
        known = _RULES.setdefault(name, Rule(name, check, ruff, is_wide)).check
        if (known.__module__, known.__qualname__) != (check.__module__, check.__qualname__):
            raise TypeError(f"two rules are named '{name}': {known.__module__} and {check.__module__}")
        return check

    return register


@cache
def _load() -> None:
    import_modules("tonggan.codelm.review.rules")
    load_parts()


def rules() -> Mapping[str, Rule]:
    """All rules, in the order of their names."""
    _load()
    return dict(sorted(_RULES.items()))
