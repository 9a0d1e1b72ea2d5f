"""Highlights: matches are marked, everything else is text, whatever it holds."""

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from search.highlights import FRAGMENT, FRAGMENTS, fragments, marked
from search.text import Matcher, words

TEXT = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(["room", "<b>", "&amp;", "zimmer", "東京", "x" * 400, "a", "\n"]), max_size=200).map(" ".join),
)


def _matcher(q: str) -> Matcher:
    return Matcher(words(q))


def _text(marked_up: str) -> str:
    return html.unescape(re.sub("</?mark>", "", marked_up))


def test_matched_words_are_marked_whole_even_if_only_their_beginning_was_typed() -> None:
    assert marked("Möbliertes Zimmer in Berlin", _matcher("moblirtes ber")) == [
        "<mark>Möbliertes</mark> Zimmer in <mark>Berlin</mark>"
    ]


def test_what_does_not_match_has_no_highlight() -> None:
    assert marked("Zimmer", _matcher("garden")) == []
    assert fragments("Zimmer", _matcher("garden")) == []
    assert marked("Zimmer", _matcher("")) == []


def test_everything_but_the_marks_is_escaped() -> None:
    assert marked("""<script>room("'&")</script>""", _matcher("room script")) == [
        "&lt;<mark>script</mark>&gt;<mark>room</mark>(&quot;&#x27;&amp;&quot;)&lt;/<mark>script</mark>&gt;"
    ]


def test_characters_of_scripts_without_spaces_are_marked_together() -> None:
    assert marked("東京タワーの近く", _matcher("東京")) == ["<mark>東京</mark>タワーの近く"]


def test_a_long_text_gives_up_to_three_fragments_with_some_text_around() -> None:
    text = " ".join(
        ["filler"] * 40
        + ["garden"]
        + ["filler"] * 60
        + ["garden"]
        + ["filler"] * 60
        + ["garden gardens"]
        + ["filler"] * 60
        + ["garden"]
    )
    found = fragments(text, _matcher("garden"))
    assert len(found) == FRAGMENTS
    assert [each.count("<mark>") for each in found] == [1, 1, 2]
    for each in found:
        assert each.startswith("filler filler")
        assert 100 < len(_text(each)) <= FRAGMENT


def test_a_short_text_is_one_fragment() -> None:
    assert fragments("A garden.", _matcher("garden")) == ["A <mark>garden</mark>."]


@given(TEXT, st.sampled_from(["room", "zimmer a", "東", "x", "b amp"]))
def test_highlights_are_pieces_of_the_text_in_order(text: str, q: str) -> None:
    matcher = _matcher(q)
    assert [_text(each) for each in marked(text, matcher)] in ([], [text])
    position = 0
    found = fragments(text, matcher)
    assert len(found) <= FRAGMENTS
    for each in found:
        assert "<mark>" in each
        assert len(_text(each)) <= FRAGMENT
        position = text.index(_text(each), position) + len(_text(each))


@given(TEXT)
def test_no_markup_survives_but_our_own(text: str) -> None:
    for each in (*marked(text, _matcher("room b script")), *fragments(text, _matcher("room b script"))):
        assert not re.search("[<>\"']", re.sub("</?mark>", "", each))
        assert re.sub("[^<>/]", "", re.sub("</?mark>", "", each).replace("/", "")) == ""
