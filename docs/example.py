"""Write the small shop that the pages in this folder use: photos, titles, prices, what category a thing is of, shelves.

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
from typing import Any

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


def write_shelves(folder: Path, *, num_rows: int = 200, seed: int = 0) -> None:
    """Write ``shelves.csv``: photos of one to three things, a box around each, and a mask of what each pixel shows."""
    random = np.random.default_rng(seed)
    (folder / "shelves").mkdir(parents=True, exist_ok=True)
    with (folder / "shelves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "objects", "mask"])
        for number in range(num_rows):
            photo, mask, objects = draw_shelf(random)
            names = f"shelves/{number:04}.jpg", f"shelves/{number:04}.png"
            photo.save(folder / names[0])
            mask.save(folder / names[1])
            writer.writerow([names[0], json.dumps(objects), names[1]])


def draw_shelf(random: np.random.Generator) -> tuple[Image.Image, Image.Image, list[dict[str, Any]]]:
    """Balls (round) and boxes side by side, their mask (1 and 2 on 0), and where they are."""
    photo, mask = Image.new("RGB", (96, 64), tuple(random.integers(150, 220, 3).tolist())), Image.new("L", (96, 64))
    objects = []
    for place in range(int(random.integers(1, 4))):
        side, is_ball = int(random.integers(14, 28)), bool(random.integers(2))
        left, top = 2 + 32 * place, int(random.integers(2, 62 - side))
        color = tuple(random.integers(10, 110, 3).tolist())
        for picture, fill in ((photo, color), (mask, 1 if is_ball else 2)):
            draw = ImageDraw.Draw(picture)
            (draw.ellipse if is_ball else draw.rectangle)((left, top, left + side, top + side), fill=fill)
        objects.append({"label": "ball" if is_ball else "box", "box": [left, top, left + side + 1, top + side + 1]})
    return photo, mask, objects


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


def main() -> None:
    """Read the command line and write everything."""
    parser = argparse.ArgumentParser(description="Write the example tables of the documentation.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write_shop(folder)
    write_shelves(folder)
    write_sounds(folder / "sounds")


if __name__ == "__main__":
    main()
