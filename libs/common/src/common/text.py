"""Text as it came from crawlers and people, made plain: no tags, no entities, no control characters, one Unicode form.

What is stored is text, not HTML: whoever shows it in HTML escapes it.
"""

import html
import re
import unicodedata

from common.errors import Invalid

#: Decoding and stripping until nothing changes takes two or three rounds in good faith.
ROUNDS = 20
_AMPERSANDS = re.compile(r"&(?:amp;|#0*38;|#[xX]0*26;)+")
#: Without the semicolon it may just as well be text: `?a=1&copy=2`, `AT&Tower`.
_ENTITY = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});")
#: Control characters but tab and newline (carriage returns have become newlines by then), and those that turn text around.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e\ufeff]")
#: Letters and symbols by their category, and nothing to see.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: A tag ends at its `>`, wherever HTML would look for a closing quote or an element's end until it has eaten the whole text.
_TAG = r"""</?[A-Za-z][\w:.-]*(?=[\s/>])(?:(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>|[^<>]*>)|<[!?][^<>]*>"""
_TAGS = re.compile(rf"(?:{_TAG})(?:\s*(?:{_TAG}))*")
_LINE_TAGS = re.compile(
    r"(?i)</?(?:address|article|aside|blockquote|br|center|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6r]|header|li|main|nav"
    r"|ol|p|pre|section|table|tbody|tfoot|thead|title|tr|ul)(?=[\s/>])"
)
_WORD_TAGS = re.compile(r"(?i)</?(?:option|td|th)(?=[\s/>])|>\s")
#: What is no text, with the end without which it is left alone.
_NO_TEXT = [
    (re.compile("<!--"), re.compile("-->")),
    (re.compile(r"(?i)<script(?=[\s/>])[^<>]*>"), re.compile(r"(?i)</script\s*>")),
    (re.compile(r"(?i)<style(?=[\s/>])[^<>]*>"), re.compile(r"(?i)</style\s*>")),
]
#: Looks like the beginning of a tag, and is none.
_LOOSE = re.compile(r"<(?=[A-Za-z/!?])")
#: How many marks in a row count (UAX #15, stream-safe text): to bring a run into its order takes the square of its length.
MARKS = 30


def _marks() -> str:
    """What is nothing but marks once it is decomposed, as the inside of a character class."""
    decomposed = ((chr(point), unicodedata.normalize("NFKD", chr(point))) for point in (*range(0x300, 0x1E950), 0xFF9E, 0xFF9F))
    return "".join(each for each, parts in decomposed if all(map(unicodedata.combining, parts)))


#: (The class is large, thus slow: most characters of most texts never get to it.)
_TOO_MANY_MARKS = re.compile("(?=[\u0300-\U0010ffff])([{0}]{{{1}}})[{0}]+".format(_marks(), MARKS))
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\n{3,}")


def plain(text: str, field: str, *, maximum: int, lines: bool = False) -> str:
    """`text` without markup, in NFC, trimmed, runs of white space made one; with `lines`, line breaks stay.

    Raises Invalid, naming `field`, where nothing is left, where more than `maximum` characters are, or where entities hide in entities
    too deep.
    """
    for _ in range(ROUNDS):
        cleaned = _marks_removed(_characters_cleaned(text))
        if cleaned == text:
            break
        text = cleaned
    else:
        raise Invalid.field(field, "hides entities or tags inside one another too deeply")
    text = "\n".join(_SPACES.sub(" ", line).strip() for line in text.split("\n")) if lines else " ".join(text.split())
    text = _LINES.sub("\n\n", text).strip()
    if not any(unicodedata.category(character)[0] not in "CZ" and character not in _BLANK for character in text):
        raise Invalid.field(field, "must hold some text")
    if len(text) > maximum:
        raise Invalid.field(field, f"is longer than {maximum} characters once it is plain text")
    return text


def stream_safe(text: str) -> str:
    """`text` without the marks behind the first thirty of a run: then it can be normalised in no time."""
    return text if text.isascii() else _TOO_MANY_MARKS.sub(r"\1", text)


def _characters_cleaned(text: str) -> str:
    """In NFC, without control characters. Both may make markup of what was none: U+037E becomes a semicolon, `<` meets a letter."""
    return _CONTROLS.sub("", unicodedata.normalize("NFC", stream_safe(text)).replace("\r\n", "\n").replace("\r", "\n"))


def _marks_removed(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), _stripped(_AMPERSANDS.sub("&", text)))


def _stripped(text: str) -> str:
    """Without tags, and without anything that a browser would take for one; a line break where a block begins or ends."""
    if "<" not in text:
        return text
    for begin, end in _NO_TEXT:
        text = _cut(text, begin, end)
    return _LOOSE.sub("< ", _TAGS.sub(_space, text))


def _cut(text: str, begin: re.Pattern[str], end: re.Pattern[str]) -> str:
    """Without what lies between `begin` and the next `end`, both included."""
    kept, at = [], 0
    while (opening := begin.search(text, at)) and (closing := end.search(text, opening.end())):
        kept.append(text[at : opening.start()])
        at = closing.end()
    return "".join((*kept, text[at:]))


def _space(tags: re.Match[str]) -> str:
    """What takes the place of neighbouring tags."""
    if _LINE_TAGS.search(tags[0]):
        return "\n"
    return " " if _WORD_TAGS.search(tags[0]) else ""
