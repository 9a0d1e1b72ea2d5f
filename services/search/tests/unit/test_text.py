"""Words: how text becomes tokens, and when they answer a word."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from search.text import TOKEN, Match, Matcher, Word, fold, fold_name, indexed, tokens, words

LATIN = st.text(st.sampled_from("abcdeéß"), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sunny room, 2nd floor!", "sunny room 2nd floor"),
        ("Straße STRASSE Straẞe", "strasse"),
        ("Łódź Ærø Đà Nẵng þing Œuvre ﬁn", "lodz aero da nang thing oeuvre fin"),
        ("İstanbul ISTANBUL ıstanbul", "istanbul"),
        ("Café Cafe\u0301 CAFÉ", "cafe"),
        ("ёлка Ёлка, й", "елка и"),
        ("Ἀθήνα ς Σ", "αθηνα σ"),
        ("東京タワー ガガ", "東 京 タ ワ ー ガ"),
        ("ห้องนอน", "ห้ อ ง น"),
        ("हिन्दी", "हिन्दी"),
        ("서울역 3번", "서울역 3번"),
        ("l'appartement co-living a_b", "l appartement co living a b"),
        ("½ ①0 ²", "1 2 10"),
        ("👍 — … \u200b", ""),
        ("x" * 300, "x" * TOKEN),
    ],
)
def test_text_becomes_tokens(text: str, expected: str) -> None:
    assert indexed(text).split() == expected.split()


@given(st.text())
def test_tokens_of_tokens_are_the_same(text: str) -> None:
    assert indexed(indexed(text)) == indexed(text)


@given(st.text())
def test_tokens_hold_no_white_space_and_are_never_empty_or_long(text: str) -> None:
    for token in tokens(text):
        assert 0 < len(token.folded) <= TOKEN
        assert len(token.folded.split()) == 1
        # What Java and Rust take for white space beyond Python's split.
        assert not set(token.folded) & set("\x1c\x1d\x1e\x1f\x85\u00a0\u2007\u202f")


@given(st.text())
def test_tokens_stand_in_order_where_they_say(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert token.start >= end or token.end == end  # one word may fold into several tokens
        assert token.start < token.end <= len(text)
        end = token.end


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_case_does_not_matter(text: str) -> None:
    assert indexed(text) == indexed(text.lower())


def test_names_are_compared_without_case_accents_and_spacing() -> None:
    assert fold_name("  São  Paulo ") == fold_name("SAO PAULO") == "sao paulo"


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("a", 0),
        ("ab", 0),
        ("abc", 1),
        ("abcde", 1),
        ("abcdef", 2),
        ("x" * 64, 2),
        ("abc1", 0),
        ("2024", 0),
        ("東", 0),
        ("٣abc", 0),
    ],
)
def test_longer_words_forgive_more(word: str, edits: int) -> None:
    assert Word(word).edits == edits


def test_only_the_last_word_may_be_unfinished_and_none_comes_twice() -> None:
    assert words("Room room  in Berlin, ber") == (Word("room"), Word("in"), Word("berlin"), Word("ber", prefix=True))
    assert words("room berlin room") == (Word("berlin"), Word("room", prefix=True))
    assert words("!? —") == ()
    assert words("") == ()


@given(LATIN.map(fold), st.lists(LATIN, min_size=1, max_size=4))
def test_a_token_matches_as_the_rules_say(token: str, typed: list[str]) -> None:
    query = words(" ".join(typed))
    expected = None
    if any(token.startswith(word.folded) for word in query if word.prefix):
        expected = Match.PREFIX
    elif any(OSA.distance(token, word.folded) <= word.edits for word in query):
        expected = Match.FUZZY
    if any(token == word.folded for word in query):
        expected = Match.EXACT
    assert Matcher(query)(token) == expected


def test_swapped_neighbours_are_one_typo() -> None:
    matcher = Matcher((Word("flat"),))
    assert matcher("falt") is Match.FUZZY
    assert matcher("flta") is Match.FUZZY
    assert matcher("tafl") is None


@given(st.text(string.ascii_letters + "éß ", max_size=40))
def test_every_token_of_a_text_is_found_by_its_own_word(text: str) -> None:
    for token in tokens(text):
        assert Matcher((Word(token.folded),))(token.folded) is Match.EXACT


def test_marks_without_end_are_cut_off_before_they_are_brought_into_order():
    assert len(fold("\u3042" + "\uff9e\u0300" * 5000)) < 100
    assert fold("e" + "\u0301" * 5000) == "e"
