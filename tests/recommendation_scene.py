"""Users who each like items of one genre, with a table of items that names it, and what members learn from that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from command_line import write_csv
from tonggan.recommendation import Examples, Histories
from tonggan.recommendation.base import Content, Held

NUM_USERS, NUM_ITEMS = 60, 40
GENRES = ("comedy", "drama", "science fiction", "western")


def genre_of(item: int) -> int:
    return item % len(GENRES)


def rows(*, seed: int = 0) -> list[dict[str, object]]:
    """Users take eight items each, seven of them of their genre; their likes are rated 4 or 5, the rest 1 or 2."""
    random = np.random.default_rng(seed)
    found = []
    for user in range(NUM_USERS):
        own = [item for item in range(NUM_ITEMS - 4) if genre_of(item) == genre_of(user)]
        items = [*random.choice(own, size=7, replace=False), int(random.integers(NUM_ITEMS - 4))]
        for item in dict.fromkeys(map(int, items)):
            is_own = genre_of(item) == genre_of(user)
            rating = int(random.integers(4, 6) if is_own else random.integers(1, 3))
            found.append({"user_id": f"u{user}", "item_id": item, "rating": rating, "time": 0})
    for place, row in zip(random.permutation(len(found)), found, strict=True):
        row["time"] = 1_700_000_000 + 3600 * int(place)
    return found


def items() -> list[dict[str, object]]:
    """Titles and genres of all items; the last four are in no interaction."""
    return [
        {"item_id": item, "title": f"{GENRES[genre_of(item)]} number {item}", "genre": GENRES[genre_of(item)]}
        for item in range(NUM_ITEMS)
    ]


def write(folder: Path) -> tuple[Path, Path]:
    """The tables of interactions and of items."""
    return write_csv(folder / "likes.csv", rows()), write_csv(folder / "films.csv", items())


def examples() -> Examples:
    """Users who like seven of the nine items of their genre that anybody likes, and the genres."""
    lists = [[item for item in range(NUM_ITEMS - 4) if genre_of(item) == genre_of(user)] for user in range(NUM_USERS)]
    random = np.random.default_rng(0)
    histories = Histories.of([random.permutation(each)[:7] for each in lists], num_items=NUM_ITEMS)
    genres = np.array([genre_of(item) for item in range(NUM_ITEMS)])
    onehot = np.eye(len(GENRES), dtype=np.float32)[genres]
    return Examples(
        Histories(histories.starts, histories.items, NUM_ITEMS, np.arange(NUM_USERS)),
        np.sort(random.random(len(histories.items))) * 86_400 * 100,
        Content(csr_matrix(onehot), [f"genre: {genre}" for genre in GENRES], onehot),
    )


def held() -> Held:
    """What the same users like next: the other two."""
    known = examples().histories
    wanted = [
        [item for item in range(NUM_ITEMS - 4) if genre_of(item) == genre_of(user) and item not in known[user]]
        for user in range(NUM_USERS)
    ]
    return Held(known, known, Histories.of(wanted, num_items=NUM_ITEMS, users=np.arange(NUM_USERS)))
