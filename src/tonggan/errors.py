"""The exception tree: every error a user can meet says who, what was got, what was expected, and the remedy.

It does not log, print or translate; the command line decides how an error is shown.
"""

from __future__ import annotations

_LONGEST = 2_000  # characters of each part of a message


class DataWarning(UserWarning):
    """One thing that the data doctor found, as Python tells it; ``warnings.filterwarnings`` chooses what is shown."""


class TongganError(Exception):
    """Base of all errors that Tonggan raises on purpose.

    Args:
        who: the part that complains and its subject, e.g. ``"column 'age' of train.csv"``.
        got: what was found.
        expected: what would have been right.
        remedy: what the user can do now, as an imperative sentence without the final period.
    """

    def __init__(self, who: str, *, got: str, expected: str, remedy: str) -> None:
        self.who, self.got, self.expected, self.remedy = map(_cut, (who, got, expected, remedy))
        super().__init__(f"{self.who}: got {self.got}, expected {self.expected}. {self.remedy}.")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost by the default reduce; workers send errors across processes.
        return (_rebuild, (type(self), self.who, self.got, self.expected, self.remedy))


def _cut(text: str) -> str:
    """What of ``text`` a person reads: a damaged file may put megabytes in the place of a name."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _rebuild(kind: type[TongganError], who: str, got: str, expected: str, remedy: str) -> TongganError:
    return kind(who, got=got, expected=expected, remedy=remedy)


class ConfigError(TongganError):
    """A recipe, a ``--set`` or an argument is not legal."""


class DataError(TongganError):
    """A table, a column or its content cannot be used."""


class UnsupportedModelError(DataError):
    """The files of a language model are sound, but only another engine can run what they hold."""


class UnreadableError(DataError):
    """The bytes of one picture or recording cannot be decoded. The row stays, with that modality absent."""


class CacheError(TongganError):
    """The cache folder cannot be read or written."""


class StoreBusyError(CacheError):
    """Another process writes to the store; it can still be read."""


class TrainingError(TongganError):
    """Training cannot go on, e.g. the loss is not finite."""


class InterruptedRunError(TrainingError):
    """The user interrupted a run; what was reached is saved and can be resumed."""


class BundleError(TongganError):
    """A run folder cannot be loaded: damaged, incomplete, or written by a newer format."""


class QueueFullError(TongganError):
    """As much work waits as was allowed to; later there may be room."""


class TimeLimitError(TongganError):
    """Work was not done in the time that it was given."""


class MissingExtraError(TongganError):
    """An optional dependency is not installed; the remedy holds the exact install line."""

    @classmethod
    def of(cls, package: str, *, extra: str, purpose: str) -> MissingExtraError:
        """The error for ``package`` that ``extra`` would install."""
        return cls(
            purpose,
            got=f"no package '{package}'",
            expected="it to be installed",
            remedy=f"Run: pip install 'tonggan[{extra}]'",
        )
