"""In which language a text is written: by its script, and for Latin letters by the small words that each language uses.

It looks at single short texts, is never surer than these words allow, and serves to describe a column and to compare
one table with another.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

NO_LETTERS = "no letters"
LATIN = "Latin letters"
_MAX_CHARACTERS = 500  # enough to tell a language
_WORD = re.compile(r"[^\W\d_]+")
_MIN_WORDS = 2  # different ones of a language; one alone may be a name
_FREQUENT = 0.2  # of the texts of a column: so many are no exception
_LIKELY = 0.1  # as many surely of a language as with Latin letters alone: these are of it too
# The script of a character is how its Unicode name begins.
_SCRIPTS = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean", "LATIN": LATIN}
_SMALL_WORDS = {
    "English": "the of and to in is are for on with it this that was you not have be at by from or as but we they "
    "his her there which what all one has an my your very",
    "German": "der die das und ist nicht ein eine einen den dem mit von zu auf für im sich auch es sie ich wir war "
    "sehr bei nach wie aus oder aber wird sind",
    "French": "le la les des et est une un dans pour que qui sur avec pas du au ce cette il elle nous vous sont très "
    "plus mais par je mon",
    "Spanish": "el la los las de y es una un en que por para con no del se su al lo más muy pero como este esta son "
    "mi fue",
    "Italian": "il lo la gli le di e è una un che per con non del della si sono nel questo questa molto ma come da "
    "più anche",
    "Portuguese": "o a os as de e é uma um em que para com não do da no na se por mais muito mas como este esta são "
    "foi",
    "Dutch": "de het een en is van in op te dat niet met voor zijn aan er ook als maar bij heel deze naar was dit",
}
_LANGUAGES_OF = {
    word: [language for language, words in _SMALL_WORDS.items() if word in words.split()]
    for word in " ".join(_SMALL_WORDS.values()).split()
}


def language_of(text: str) -> str:
    """In words: a language, a script such as Cyrillic, ``Latin letters`` where small words do not tell, ``no letters``.

    Japanese is known by its syllables: where a text has none it counts as Chinese.
    """
    text = text[:_MAX_CHARACTERS]
    scripts = Counter(_script(character) for character in text if character.isalpha())
    if not scripts:
        return NO_LETTERS
    if scripts["Japanese"] and scripts["Japanese"] >= 0.1 * scripts["Chinese"]:
        scripts["Japanese"] += scripts.pop("Chinese", 0)
    # A Chinese character says about as much as four Latin letters.
    weights = {script: count * (1 if script == LATIN else 4) for script, count in scripts.items()}
    script = max(weights, key=lambda each: weights[each])
    return _latin_language(text) if script == LATIN else script


def languages_of(texts: Iterable[str]) -> str:
    """In words, the language of most ``texts``, or several where each is that of a fifth of those with letters."""
    counts = Counter(map(language_of, texts))
    if len(counts) > 1:
        counts.pop(NO_LETTERS, None)
    latin = max(_SMALL_WORDS, key=lambda language: counts[language])
    if counts[latin] >= _LIKELY * counts[LATIN]:  # short texts of the same language tell nothing
        counts[latin] += counts.pop(LATIN, 0)
    most = counts.most_common()
    return ", ".join(name for name, count in most if count >= _FREQUENT * counts.total()) or most[0][0]


def is_latin(language: str) -> bool:
    """Whether a language, as ``language_of`` names it, has Latin letters."""
    return language == LATIN or language in _SMALL_WORDS


def _latin_language(text: str) -> str:
    hits = Counter(
        language for word in set(_WORD.findall(text.casefold())) for language in _LANGUAGES_OF.get(word, ())
    ).most_common(2)
    if not hits or hits[0][1] < _MIN_WORDS or (len(hits) > 1 and hits[0][1] == hits[1][1]):
        return LATIN
    return hits[0][0]


@lru_cache(maxsize=1 << 14)
def _script(character: str) -> str:
    name = unicodedata.name(character, "UNKNOWN").split()[0]
    return _SCRIPTS.get(name, name.capitalize())
