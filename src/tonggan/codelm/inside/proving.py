"""Whether a rewritten function does what the original does, on recorded calls and on those derived from them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .comparing import UncomparableError
from .deriving import derive, groups
from .growing import FACTORS, grow, length
from .observing import Call, Observation, contrast, observe
from .placing import Place

_DERIVED = 200  # calls of each group
_SECONDS_A_CALL, _SECONDS_GROWN = 1.0, 5.0
_WORKLOAD = 2.0  # seconds after which no further recorded or derived call is taken
_TIMED = 0.3  # seconds of all calls that are timed together
_LONG = 0.05  # seconds of a call, after which none is grown further


@dataclass
class Compared:
    """How many calls were compared.

    Attributes:
        recorded: of those that tests or inputs have made.
        derived: by Hypothesis.
        grown: larger ones.
    """

    recorded: int = 0
    derived: int = 0
    grown: int = 0


@dataclass
class Subject:
    """A function with its calls.

    Attributes:
        place: where it stands.
        original: as it is, built anew just as the candidates are.
        calls: recorded ones on which it does the same each time, and ends.
        large: grown calls on which it ends in time, from small to large.
        derived: calls that Hypothesis derives on which it ends.
        timed: of the recorded calls, as many as can be timed often.
    """

    place: Place
    original: Any
    calls: list[Call] = field(default_factory=list)
    large: list[Call] = field(default_factory=list)
    derived: list[Call] = field(default_factory=list)
    timed: list[Call] = field(default_factory=list)

    def select(self, recorded: list[Call], *, end: float) -> str | None:
        """Take of ``recorded`` what can be compared, and derive more; why nothing can, where that is so.

        Args:
            recorded: calls.
            end: of ``time.monotonic``, after which no more calls are derived.
        """
        reason = "no call of it was recorded"
        spent = 0.0
        for call in recorded:
            start = time.monotonic()
            first = self._observe(self.original, call, _SECONDS_A_CALL)
            if first.effects:
                return f"it {first.effects[0]}: side effects cannot be compared"
            if first.end in ("stopped", "exhausted"):
                reason = f"a call of it is {first.end}"
                continue
            try:
                found = contrast(first, self._observe(self.original, call, _SECONDS_A_CALL))
            except UncomparableError as error:
                return f"its values cannot be compared ({error})"
            if found is not None:
                return f"it does not do the same twice ({found})"
            self.calls.append(call)
            seconds = (time.monotonic() - start) / 2
            if not self.timed or spent + seconds < _TIMED:
                self.timed.append(call)
            spent += seconds
            if spent > _WORKLOAD:
                break
        if not self.calls:
            return reason
        if all(self._observe(self.original, call, _SECONDS_A_CALL).end == "raised" for call in self.calls):
            return "every recorded call of it raises"
        self._grow()
        self._derive(end)
        return None

    def _derive(self, end: float) -> None:
        for group in groups(self.calls)[:4]:
            spent = 0.0
            for call in derive(group, most=_DERIVED):
                start = time.monotonic()
                if start > end or spent > _WORKLOAD:
                    break
                found = self._observe(self.original, call, _SECONDS_A_CALL)
                if found.end not in ("stopped", "exhausted") and not found.effects:
                    self.derived.append(call)
                spent += time.monotonic() - start

    def _grow(self) -> None:
        best = max(self.calls, key=length)
        for factor in FACTORS:
            larger = grow(best, factor)
            if larger is None:
                break
            start = time.monotonic()
            found = self._observe(self.original, larger, _SECONDS_GROWN)
            if found.end != "returned" or found.effects:
                break
            self.large.append(larger)
            if time.monotonic() - start > _LONG:
                break

    def prove(self, candidate: Any, compared: Compared) -> str | None:
        """How ``candidate`` differs from the original; None where it does not in all that was compared.

        Args:
            candidate: a function built in the same place.
            compared: is counted up.
        """
        try:
            for kind, calls in (("recorded", self.calls), ("derived", self.derived), ("grown", self.large)):
                for call in calls:
                    before = self._observe(self.original, call, _SECONDS_GROWN)
                    if before.end in ("stopped", "exhausted"):  # It has ended before, on a machine less busy.
                        continue
                    found = contrast(before, self._observe(candidate, call, 2 * _SECONDS_GROWN))
                    if found is not None:
                        return f"{found} for the {kind} call {_shown(call)}"
                    setattr(compared, kind, getattr(compared, kind) + 1)
        except UncomparableError as error:
            return f"values cannot be compared ({error})"
        return None

    def _observe(self, function: Any, call: Call, seconds: float) -> Observation:
        return observe(self.place.put(function), call, seconds=seconds)


def _shown(call: Call) -> str:
    """Arguments for a person, short."""
    try:
        words = [repr(each) for each in call.arguments]
        words += [f"{name}={each!r}" for name, each in call.keywords.items()]
        text = f"({', '.join(words)})"
    except Exception:  # noqa: BLE001 - the user's own
        return "(…)"
    return text if len(text) <= 120 else f"{text[:117]}…)"
