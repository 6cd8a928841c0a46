"""In which encoding bytes are text: one policy for tables and source files.

A byte order mark decides, then UTF-8 where all of it is valid. Anything else needs evidence: that bytes decode proves
nothing, as GB18030 and Windows-1252 accept nearly all of them. The evidence is how many of the characters beyond ASCII
are everyday ones of the language that the encoding was made for.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass

BYTE_ORDER_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MIN_SCORE = 0.5
_MIN_MARGIN = 0.15
_MIN_VALID = 0.9  # of the sequences beyond ASCII: what is UTF-8 but for a few damaged bytes
_PUNCTUATION = frozenset("，。、；：？！“”‘’（）《》〈〉「」『』【】—…·￥％　・〜ー")
_COMMON_SIMPLIFIED = frozenset(
    "的一是不了在人有我他这中大来上个国到说们为子和你地出也时年得就那要下以生会自着可她里后多天日公市车"
)
_COMMON_TRADITIONAL = frozenset(
    "的一是不了在人有我他這中大來上個國到說們為子和你地出也時年得就那要下以生會自著可她裡後多天日公市車"
)
# Of the syllables of Chinese texts that are read as Korean, hardly any is among these.
_COMMON_KOREAN = frozenset(
    "이다는에의가을를고하은지기사도로서아어리한대자시인정나스해그수니부구보전원상제주일성관방조있과들으장여게만경소것라면했적유위안"
    "신생동국공선내무비우오모간연문화세마당거진미실계력건물발요회재중학개식용명행울군김박최남습까요와입"
)
_WESTERN_LETTERS = frozenset("àáâãäåæçèéêëìíîïñòóôõöøœßùúûüÿÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜ")
_WESTERN_SIGNS = frozenset("‘’“”–—…•€£°§«»©®™²³½¡¿ªº·\u00a0")


@dataclass(frozen=True)
class Guess:
    """The encoding that bytes without a mark are most likely in.

    Attributes:
        name: as Python calls it; of bytes that are UTF-8 but for a few damaged ones, ``utf-8``.
        others: which are about as likely; none where the guess is sure.
    """

    name: str
    others: tuple[str, ...]

    @property
    def is_sure(self) -> bool:
        """Whether the evidence decides."""
        return not self.others


def encoding_of_mark(head: bytes) -> str | None:
    """The encoding whose byte order mark ``head`` begins with."""
    return next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)


def guess_utf_16(content: bytes) -> str | None:
    """``utf-16-le`` or ``utf-16-be`` of bytes without a mark: zeros in every other place, and legal text."""
    even, odd = content[0::2].count(0), content[1::2].count(0)
    # Where every other byte is valid UTF-8, a few zeros are damage.
    fewest = 0.3 if _decoded(content, "utf-8") is not None else 0.05
    if even + odd <= fewest * len(content) or min(even, odd) * 20 > max(even, odd):
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    text = _decoded(content[: len(content) // 2 * 2], name)
    return name if text and re.search("[\0-\x08\x0e-\x1f\ufffe\uffff]", text) is None else None


def guess_encoding(content: bytes) -> Guess | None:
    """The likeliest encoding of bytes that are not UTF-8 throughout; None where no encoding that is known fits them."""
    if utf_16 := guess_utf_16(content):
        return Guess(utf_16, ())
    text = content.decode("utf-8", "replace")
    valid = sum(1 for character in text if ord(character) > 127 and character != "\ufffd")
    if valid > _MIN_VALID * (valid + text.count("\ufffd")):
        return Guess("utf-8", ())
    scores: dict[str, float] = {}
    for name, is_everyday in _EVERYDAY.items():
        decoded = _decoded(content, name)
        if decoded is not None:
            scores[name] = _score(decoded, is_everyday)
    if not scores:
        return None
    best = max(scores, key=scores.__getitem__)
    if scores[best] < _MIN_SCORE:
        return Guess(best, tuple(name for name in scores if name != best) or ("another encoding",))
    return Guess(best, tuple(name for name in scores if name != best and scores[name] > scores[best] - _MIN_MARGIN))


def known_encoding(name: str) -> str | None:
    """Python's own name of an encoding of texts, None where there is no such."""
    try:
        found = codecs.lookup(name)
        "".encode(found.name)  # codecs such as rot13 and base64 do not turn text into bytes
    except (LookupError, UnicodeError):
        return None
    # No file is in those of domain names, and they replace nothing that is invalid.
    return None if found.name in ("idna", "punycode") else found.name


def _decoded(content: bytes, name: str) -> str | None:
    """The text, without a character that the end of ``content`` cuts; None where it is not legal."""
    try:
        return codecs.getincrementaldecoder(name)().decode(content)
    except UnicodeDecodeError:
        return None


def _score(text: str, is_everyday: Callable[[str, str], float]) -> float:
    """0 to 1: how everyday the characters beyond ASCII are; rare ones weigh more than their number."""
    beyond = [index for index, character in enumerate(text) if ord(character) > 127]
    if not beyond:
        return 0.0
    points = [is_everyday(text[index], text[max(index - 1, 0) : index + 2]) for index in beyond]
    share = sum(point > 0 for point in points) / len(points)
    return 0.8 * share**3 + 0.2 * min(1.0, 4 * sum(point > 1 for point in points) / len(points))


def _of_level_one(encoding: str, first: int, last: int, common: frozenset[str]) -> Callable[[str, str], float]:
    """2 for the commonest characters, 1 for those whose lead byte is of the everyday level, else 0."""

    def points(character: str, around: str) -> float:
        del around
        if character in common:
            return 2.0
        encoded = character.encode(encoding, "ignore")
        return float(character in _PUNCTUATION or (len(encoded) == 2 and first <= encoded[0] <= last))

    return points


def _japanese(character: str, around: str) -> float:
    if "\u3041" <= character <= "\u30ff":
        return 2.0
    return _KANJI(character, around)


def _korean(character: str, around: str) -> float:
    del around
    if character in _COMMON_KOREAN:
        return 2.0
    return float("가" <= character <= "힣" and len(character.encode("euc_kr", "ignore")) == 2)


def _western(character: str, around: str) -> float:
    if character in _WESTERN_SIGNS:
        return 1.0
    return 2.0 if character in _WESTERN_LETTERS and re.search("[A-Za-z]", around) else 0.0


_KANJI = _of_level_one("cp932", 0x88, 0x97, frozenset())
_EVERYDAY: dict[str, Callable[[str, str], float]] = {
    "gb18030": _of_level_one("gb2312", 0xB0, 0xD7, _COMMON_SIMPLIFIED),
    "cp950": _of_level_one("big5", 0xA4, 0xC6, _COMMON_TRADITIONAL),
    "cp932": _japanese,
    "cp949": _korean,
    "cp1252": _western,
}
