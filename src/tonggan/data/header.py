"""The names of a table's columns as a file gives them: blank and repeated ones get a name of their own."""

from __future__ import annotations

from collections.abc import Sequence

from tonggan.data.findings import Finding
from tonggan.wording import listed


def column_names(header: Sequence[str], *, file: str) -> tuple[list[str], list[Finding]]:
    """A different name for each column, in their order, and what a person should know of them.

    A blank name becomes ``column_3``, a repeated one ``name_2``.
    """
    names: list[str] = []
    repeated: list[str] = []
    taken = {name.strip() for name in header}
    for position, raw in enumerate(header, start=1):
        name = raw.strip() or f"column_{position}"
        if name in names:
            repeated.append(name)
            number = 2
            while f"{name}_{number}" in taken:
                number += 1
            name = f"{name}_{number}"
        taken.add(name)
        names.append(name)
    if not repeated:
        return names, []
    shown, shown_zh = listed(list(dict.fromkeys(repeated)), limit=len(repeated))
    return names, [
        Finding(
            "warning",
            None,
            None,
            len(repeated),
            message=f"{file} has several columns named {shown}; the later ones are read as "
            f"'{repeated[0]}_2' and so on.",
            message_zh=f"{file} 中有多列同名（{shown_zh}）；后面的列按“{repeated[0]}_2”等名称读取。",
            remedy="Rename or remove the repeated columns",
            remedy_zh="请重命名或删除重复的列",
        )
    ]
