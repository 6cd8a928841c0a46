"""Users or items by their ids, found however they are spelled, and given back in the type of their table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from tonggan.cells import cell_text
from tonggan.errors import DataError
from tonggan.tasks.labels import LabelCounter, LabelType, read_labels, type_of_texts


class Ids:
    """Users or items by their ids, in a fixed order.

    Args:
        names: as they are shown.
        id_type: of which they are given back.
    """

    def __init__(self, names: Sequence[str], id_type: LabelType) -> None:
        self.names, self.type = list(names), id_type
        self.values = read_labels(self.names, id_type)
        self._places = {cell_text(name) or name: place for place, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def find(self, value: Any) -> int | None:
        """The place of an id, however it is spelled; None where it is unknown."""
        return self._places.get(cell_text(value) or "")

    def require(self, value: Any, *, what: str) -> int:
        """The place of an id.

        Raises:
            DataError: it is unknown; the message names those that are spelled alike.
        """
        place = self.find(value)
        if place is None:
            near = difflib.get_close_matches(str(value), self.names, n=3)
            shown = ", ".join(map(repr, near or self.names[:3]))
            raise DataError(
                f"user {value!r}" if what == "user" else f"item {value!r}",
                got="an id that the run does not know",
                expected=f"one of its {len(self):,} ids, such as {shown}",
                remedy="Check the id; describe a new user by likes"
                if what == "user"
                else "Check the id; a new item is known once it is in the table of items and the run is made again",
            )
        return place

    def extended(self, values: Sequence[Any], *, stored_as: str | None) -> Ids:
        """The same with those of ``values`` behind them that are new; all are texts where these are of another type."""
        more = Ids.of([value for value in values if self.find(value) is None], stored_as=stored_as)
        return Ids([*self.names, *more.names], self.type if self.type == more.type else "text")

    @staticmethod
    def of(values: Sequence[Any], *, stored_as: str | None) -> Ids:
        """Those in a column, in the order of their names; missing ones are left out."""
        counter = LabelCounter()
        for value in values:
            counter.add(value)
        names = list(counter.named())
        return Ids(names, type_of_texts(names, stored_as=stored_as) if counter.type == "text" else counter.type)
