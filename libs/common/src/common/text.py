"""Text as it came from crawlers and people, made plain: no tags, no entities, no control characters, one Unicode form.

What is stored is text, not HTML: whoever shows it in HTML escapes it.
"""

import html
import re
import unicodedata

import nh3

from common.errors import Invalid

#: Decoding and stripping until nothing changes takes two or three rounds in good faith.
ROUNDS = 20
_AMPERSANDS = re.compile(r"&(?:amp;|#0*38;|#[xX]0*26;)+")
#: Without the semicolon it may just as well be text: `?a=1&copy=2`, `AT&Tower`.
_ENTITY = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});")
#: Control characters but tab and newline; carriage returns have become newlines by then.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_BLOCKS = re.compile(r"(?i)<(?:br|/p|/div|/li|/h[1-6]|/tr)\s*/?>")
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
    if not text:
        raise Invalid.field(field, "must hold some text")
    if len(text) > maximum:
        raise Invalid.field(field, f"is longer than {maximum} characters once it is plain text")
    return text


def _characters_cleaned(text: str) -> str:
    """In NFC, without control characters. Both may make markup of what was none: U+037E becomes a semicolon, `<` meets a letter."""
    return _CONTROLS.sub("", unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n"))


def _marks_removed(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), _stripped(_AMPERSANDS.sub("&", text)))


def _stripped(text: str) -> str:
    if "<" not in text:
        return text
    # A cleaner escapes what it keeps; the caller decodes it again.
    return nh3.clean(_BLOCKS.sub(lambda tag: "\n" + tag[0], text), tags=set(), attributes={})
