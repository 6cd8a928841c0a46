"""Write the small shop that the pages in this folder use: photos, titles, prices, and what category a thing is of.

The category needs two inputs: the title tells sport from the rest, the photo formal (dark) from casual (light). One
category in twenty is wrong, a few photos are missing, one is damaged and one path leads nowhere, as in real tables.
Run: python docs/example.py shop
"""

from __future__ import annotations

import argparse
import csv
import json
import wave
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CATEGORIES = ("casual", "formal", "sport")


def write_shop(folder: Path, *, num_train: int = 400, num_test: int = 100, seed: int = 0) -> None:
    """Write ``train.csv``, ``test.csv``, ``new.csv`` (without the category) and ``photos/`` into ``folder``."""
    random = np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    rows = [make_row(folder, number, random) for number in range(num_train + num_test + 5)]
    parts = {"train": rows[:num_train], "test": rows[num_train:-5], "new": rows[-5:]}
    parts["train"][2]["photo"] = "photos/nowhere.jpg"
    (folder / parts["train"][4]["photo"]).write_bytes(b"")
    for row in rows[7:-5:40]:
        row["photo"] = ""
    for name, part in parts.items():
        columns = ["photo", "title", "price"] + (["category"] if name != "new" else [])
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(part)


def make_row(folder: Path, number: int, random: np.random.Generator) -> dict[str, str]:
    """One thing for sale; its photo is written."""
    is_sport, is_dark = random.random(2) < 0.5
    kind = random.choice(["running", "trail", "tennis", "hiking"] if is_sport else ["leather", "suede", "canvas"])
    title = f"{kind} {random.choice(['shoe', 'boot', 'slipper'])}, size {random.integers(36, 47)}"
    category = "sport" if is_sport else "formal" if is_dark else "casual"
    if random.random() < 0.05:
        category = str(random.choice(CATEGORIES))
    photo = f"photos/{number:04}.jpg"
    draw_photo(is_dark=bool(is_dark), random=random).save(folder / photo)
    price = max(5.0, random.normal(70 if is_sport else 90, 20))
    return {"photo": photo, "title": title, "price": f"{price:.2f}", "category": category}


def draw_photo(*, is_dark: bool, random: np.random.Generator) -> Image.Image:
    """A shoe, seen by someone who needs glasses."""
    picture = Image.new("RGB", (96, 72), tuple(random.integers(120, 200, 3).tolist()))
    color = random.integers(10, 70, 3) if is_dark else random.integers(190, 250, 3)
    left, top = random.integers(4, 24, 2).tolist()
    ImageDraw.Draw(picture).ellipse((left, top + 10, left + 64, top + 40), fill=tuple(color.tolist()))
    return picture


def write_shelves(folder: Path, *, num_train: int = 120, num_test: int = 30, seed: int = 0) -> None:
    """Write shelves with balls and boxes on them: ``shelves.csv``, ``shelves_test.csv`` and pictures with masks.

    The column ``things`` says where each thing is, as JSON; ``mask`` names a picture whose pixels are 0, 1 (a ball) and
    2 (a box). Some shelves are empty.
    """
    random = np.random.default_rng(seed)
    (folder / "shelves").mkdir(parents=True, exist_ok=True)
    rows = [make_shelf(folder, number, random) for number in range(num_train + num_test)]
    for name, part in (("shelves", rows[:num_train]), ("shelves_test", rows[num_train:])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["photo", "things", "mask"])
            writer.writeheader()
            writer.writerows(part)


def make_shelf(folder: Path, number: int, random: np.random.Generator) -> dict[str, str]:
    """One shelf with up to three things side by side; its photo and its mask are written."""
    ground = tuple(random.integers(130, 200, 3).tolist())
    picture, mask = Image.new("RGB", (128, 72), ground), Image.new("L", (128, 72))
    things = []
    for place in range(3):
        if random.random() < 0.3:
            continue
        side, is_ball = int(random.integers(18, 36)), bool(random.random() < 0.5)
        left, top = int(random.integers(42 * place, 42 * place + 42 - side)), int(random.integers(0, 72 - side))
        around, color = (left, top, left + side - 1, top + side - 1), (*random.integers(0, 90, 2).tolist(), 60)
        for canvas, fill in ((ImageDraw.Draw(picture), color), (ImageDraw.Draw(mask), 1 if is_ball else 2)):
            (canvas.ellipse if is_ball else canvas.rectangle)(around, fill=fill)
        label = "ball" if is_ball else "box"
        things.append({"label": label, "box": [left, top, left + side, top + side]})
    names = [f"shelves/{number:04}.jpg", f"shelves/{number:04}_mask.png"]
    for image, name in zip((picture, mask), names, strict=True):
        image.save(folder / name)
    return {"photo": names[0], "things": json.dumps(things), "mask": names[1]}


def write_sounds(folder: Path, *, num_each: int = 20, seed: int = 0) -> None:
    """Write a folder of class folders: rising and falling tones of half a second."""
    random = np.random.default_rng(seed)
    rate = 8_000
    for label in ("rising", "falling"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(num_each):
            frequencies = np.linspace(400, 900, rate // 2) * random.uniform(0.8, 1.2)
            phase = np.cumsum(frequencies if label == "rising" else frequencies[::-1]) * 2 * np.pi / rate
            samples = 0.3 * np.sin(phase) + random.normal(0, 0.02, rate // 2)
            with wave.open(str(folder / label / f"{number:02}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes((samples * 32_000).astype("<i2").tobytes())


def write_likes(folder: Path, *, num_people: int = 80, num_films: int = 60, seed: int = 0) -> None:
    """Write ``likes.csv``, who rated which film when, and ``films.csv``, with some that nobody has rated.

    Everybody likes one genre, and one film in ten is of another.
    """
    random = np.random.default_rng(seed)
    genres = ("comedy", "drama", "western", "space")
    nouns = (
        "Train",
        "Letter",
        "River",
        "Bride",
        "Dog",
        "Storm",
        "Garden",
        "Stranger",
        "Winter",
        "Mirror",
        "Lighthouse",
        "Violin",
        "Bridge",
        "Island",
        "Clock",
    )
    words = {"comedy": "Wedding", "drama": "Silence", "western": "Canyon", "space": "Orbit"}
    films, likes = [], []
    for film in range(num_films):
        genre = genres[film % len(genres)]
        title = f"The {nouns[film // len(genres) % len(nouns)]} and the {words[genre]}"
        films.append({"film": film + 1, "title": title, "genre": genre, "year": 1960 + int(random.integers(60))})
    for person in range(num_people):
        own = [film for film in range(num_films - 4) if film % len(genres) == person % len(genres)]
        chosen = [*random.choice(own, size=8, replace=False), random.integers(num_films - 4)]
        for film in dict.fromkeys(map(int, chosen)):
            stars = int(random.integers(4, 6) if film in own else random.integers(1, 4))
            day = np.datetime64("2024-01-01") + int(random.integers(300))
            likes.append({"person": f"p{person + 1}", "film": film + 1, "stars": stars, "date": str(day)})
    for name, rows in (("films", films), ("likes", likes)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def main() -> None:
    """Read the command line and write everything."""
    parser = argparse.ArgumentParser(description="Write the example tables of the documentation.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write_shop(folder)
    write_sounds(folder / "sounds")
    write_shelves(folder)
    write_likes(folder)


if __name__ == "__main__":
    main()
