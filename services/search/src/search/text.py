"""Words: how text becomes tokens, and when a token answers a word of a query. Both adapters and the highlighting go by this alone.

An engine's own analyzer would do it a little differently from the next engine's, so the engines only ever see tokens made here,
separated by spaces.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from rapidfuzz import process
from rapidfuzz.distance import OSA

from common.text import stream_safe

#: Characters of a token that count; what follows is cut off, in documents and in queries alike.
TOKEN = 64

# Scripts written without spaces between words: each character, with its marks, is a token.
_SOLO = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"  # Myanmar
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
    "\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"  # Kana
)


def _marks() -> str:
    """Every combining mark, as the inside of a character class. `\\w` leaves them out, and with them half of Hindi."""
    blocks = (range(0x0300, 0x1E950), range(0xE0100, 0xE01F0))
    return "".join(chr(point) for block in blocks for point in block if unicodedata.category(chr(point))[0] == "M")


_MARKS = _marks()
# A word is letters and digits of any other script, with their marks. The large classes are slow: what is ASCII never gets to them.
_ASCII, _OTHER, _NOT_ASCII = "[A-Za-z0-9]++", rf"[^\W\x00-\x7f{_SOLO}]++", r"(?=[^\x00-\x7f])"
_WORD = re.compile(
    rf"(?:{_ASCII}|{_NOT_ASCII}{_OTHER})(?:{_ASCII}|{_NOT_ASCII}(?:{_OTHER}|[{_MARKS}]++))*+"
    rf"|{_NOT_ASCII}(?!\W)[{_SOLO}][{_MARKS}\uff9e\uff9f]*+"
)

# Letters that are their own, not a letter with a mark, and what people type who lack the key.
_LETTERS = {
    "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ŋ": "n", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ß": "ss",
}  # fmt: skip
# The combining marks of Latin, Greek and Cyrillic. Those of other scripts are vowels, and stay.
_DIACRITICS = (range(0x0300, 0x0370), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100), range(0xFE20, 0xFE30))
_FOLD = str.maketrans(_LETTERS | {chr(point): "" for block in _DIACRITICS for point in block})


class Match(IntEnum):
    """How a token answers a word, worst first."""

    FUZZY = 1
    PREFIX = 2
    EXACT = 3


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the characters of the text it stands for: `text[start:end]`."""

    folded: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query. A token answers it that equals it, is a typo away, or, with `prefix`, begins with it."""

    folded: str
    prefix: bool = False

    @property
    def edits(self) -> int:
        """How many typos are forgiven: insertions, deletions, substitutions, swapped neighbours (optimal string alignment)."""
        if len(self.folded) < 3 or any(character.isnumeric() for character in self.folded):
            return 0
        return 1 if len(self.folded) < 6 else 2


def fold(text: str) -> str:
    """`text` without case, and without the accents of Latin, Greek and Cyrillic: `Łódź` → `lodz`, `Straße` → `strasse`."""
    if text.isascii():
        return text.lower()
    text = stream_safe(text)
    # Twice: case folding and compatibility forms bring one another about (`㎏`, `İ`).
    for _ in range(2):
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_FOLD)
    return unicodedata.normalize("NFC", text)


def fold_name(text: str) -> str:
    """What two spellings of a proper name have in common: folded, with single spaces."""
    return " ".join(fold(text).split())


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, in order. One word may fold into several (`½` is `1` and `2`): they share their place."""
    for match in _WORD.finditer(text):
        for part in _parts(match[0]):
            yield Token(part, match.start(), match.end())


def indexed(*texts: str) -> str:
    """The distinct tokens of `texts`, separated by spaces: what the engines are given."""
    distinct = dict.fromkeys(word for text in texts for word in _WORD.findall(text))
    return " ".join(dict.fromkeys(part for word in distinct for part in _parts(word)))


def _parts(word: str) -> Sequence[str]:
    if word.isascii():
        return (word[:TOKEN].lower(),)
    return [part[:TOKEN] for part in _WORD.findall(fold(word))]


def words(text: str) -> tuple[Word, ...]:
    """The words that someone searches for, each once; the last may be unfinished. Empty where `text` holds no letter or digit."""
    folded = [token.folded for token in tokens(unicodedata.normalize("NFC", stream_safe(text)))]
    if not folded:
        return ()
    finished = dict.fromkeys(word for word in folded[:-1] if word != folded[-1])
    return (*(Word(word) for word in finished), Word(folded[-1], prefix=True))


class Matcher:
    """Tells how a token answers any of some words. Remembers its answers: keep it for one query."""

    def __init__(self, words: tuple[Word, ...]) -> None:
        self._exact = frozenset(word.folded for word in words)
        self._prefixes = tuple(word.folded for word in words if word.prefix)
        self._fuzzy = [(edits, [word.folded for word in words if word.edits == edits]) for edits in (1, 2)]
        self._known: dict[str, Match | None] = {}

    def __call__(self, token: str) -> Match | None:
        """The best way in which `token`, folded, answers one of the words; None where it answers none."""
        if token not in self._known:
            self._known[token] = self._best(token)
        return self._known[token]

    def _best(self, token: str) -> Match | None:
        if token in self._exact:
            return Match.EXACT
        if token.startswith(self._prefixes):
            return Match.PREFIX
        for edits, candidates in self._fuzzy:
            if process.extractOne(token, candidates, scorer=OSA.distance, score_cutoff=edits) is not None:
                return Match.FUZZY
        return None
