"""What a hit owes its place to: the matched words of its texts, marked, as HTML that is safe to insert anywhere text may stand."""

import html
from collections.abc import Iterator

from search.text import Matcher, tokens

#: How many fragments of a long text are shown, and about how many characters each has.
FRAGMENTS, FRAGMENT = 3, 160
#: At most so much of a fragment lies before its first match.
_LEAD = 50

Span = tuple[int, int]


def marked(text: str, matcher: Matcher) -> list[str]:
    """The whole text with its matches in `<mark>`, everything else escaped; nothing where nothing matches."""
    spans = list(_spans(text, matcher))
    return [_html(text, spans, 0, len(text))] if spans else []


def fragments(text: str, matcher: Matcher) -> list[str]:
    """Up to three pieces of `text` around its first matches, in order and apart from one another, marked and escaped as `marked`."""
    found: list[str] = []
    spans = _spans(text, matcher)
    span = next(spans, None)
    end = 0
    while span is not None and len(found) < FRAGMENTS:
        start = _start(text, span[0], end)
        end = _end(text, start, span)
        inside = []
        while span is not None and span[0] < end:
            inside.append(span)
            span = next(spans, None)
        found.append(_html(text, inside, start, end))
    return found


def _spans(text: str, matcher: Matcher) -> Iterator[Span]:
    """Where `text` matches. Neighbours without a gap, as in scripts written without spaces, are one span."""
    current: Span | None = None
    for token in tokens(text):
        if matcher(token.folded) is None:
            continue
        if current is not None and token.start <= current[1]:
            current = (current[0], token.end)
            continue
        if current is not None:
            yield current
        current = (token.start, token.end)
    if current is not None:
        yield current


def _start(text: str, match: int, previous: int) -> int:
    """A little before the match, at the beginning of a word, not before the end of the previous fragment."""
    start = max(previous, match - _LEAD)
    if start > previous:
        space = text.find(" ", start, match)
        start = start if space < 0 else space + 1
    while text[start].isspace():
        start += 1
    return start


def _end(text: str, start: int, match: Span) -> int:
    """A fragment's length behind its start, at the end of a word if one ends behind the match."""
    end = min(start + FRAGMENT, len(text))
    if end < len(text):
        space = text.rfind(" ", match[1], end + 1)
        end = end if space < 0 else space
    while text[end - 1].isspace():
        end -= 1
    return end


def _html(text: str, spans: list[Span], start: int, end: int) -> str:
    """`text[start:end]`, its spans (cut at `end`) marked."""
    parts: list[str] = []
    position = start
    for first, last in spans:
        last = min(last, end)
        parts += [html.escape(text[position:first]), "<mark>", html.escape(text[first:last]), "</mark>"]
        position = last
    parts.append(html.escape(text[position:end]))
    return "".join(parts)
