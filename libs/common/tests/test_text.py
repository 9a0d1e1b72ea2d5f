"""Text from crawlers becomes plain text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid
from common.text import MARKS, plain, stream_safe


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Tom & Jerry", "Tom & Jerry"),
        ("R&amp;B &amp;amp; soul", "R&B & soul"),
        ("<b>Bright</b> room", "Bright room"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;hi", "hi"),
        ("&amp;lt;img src=x onerror=alert(1)&amp;gt;hi", "hi"),
        ("1 < 2 > 0", "1 < 2 > 0"),
        ("I <3 it", "I <3 it"),
        ("?a=1&copy=2", "?a=1&copy=2"),
        ("Meubl&eacute; &#x1F600;", "Meublé 😀"),
        ("Cafe\u0301", "Café"),
        ("  a \t b\u00a0c \n", "a b c"),
        ("a <\x85b> c &lt\u037eb&gt; d", "a c d"),
        ("two<p>para", "two para"),
        ("h<h2>Head</h2>tail", "h Head tail"),
        ("<tr><td>12 m²</td><td>650 €</td></tr>", "12 m² 650 €"),
        ("an<i>other</i> <b>one</b> here", "another one here"),
        ('<a title="a > b" href=x>link</a>', "link"),
        ("<o:p>Word</o:p><?php echo ?>", "Word"),
        ("one <!-- two --> three", "one three"),
        ("one <style>p {}</style>two", "one two"),
        # Markup that does not end takes nothing with it, and is no markup any more.
        ("a <script> tag explained, then more", "a tag explained, then more"),
        ("a <!-- comment and no end", "a < !-- comment and no end"),
        ("x <y z and the rest", "x < y z and the rest"),
        ('x <a title="foo> and the rest', "x and the rest"),
        ("<img src=x onerror=alert(1)", "< img src=x onerror=alert(1)"),
        ("contact <me@example.org> for more", "contact < me@example.org> for more"),
        ("price<EUR 500", "price< EUR 500"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
    ],
)
def test_markup_goes_and_text_stays(given, stored):
    assert plain(given, "name", maximum=200) == stored


def test_lines_stay_where_they_matter():
    assert (
        plain("<p>One</p><p>Two<br>Three</p>\r\n\r\n\r\n\r\nFour", "description", maximum=200, lines=True)
        == "One\nTwo\nThree\n\nFour"
    )


@pytest.mark.parametrize(
    "empty",
    ["", "   ", "<b></b>", "&nbsp;", "\u200b \x01", "<script>only()</script>", "\u3164", "\u2800", "\u202e", "\u200d\u2060\xad"],
)
def test_nothing_left_is_refused_by_name(empty):
    with pytest.raises(Invalid, match="name: must hold some text"):
        plain(empty, "name", maximum=200)


def test_text_that_grows_beyond_its_maximum_is_refused():
    with pytest.raises(Invalid, match="longer than 200"):
        plain("\u0958" * 150, "name", maximum=200)  # NFC makes two characters of each


def test_entities_hidden_in_entities_end():
    assert plain("&" + "amp;" * 5000 + "lt;b&" + "amp;" * 5000 + "gt;x", "name", maximum=200) == "x"
    assert plain("&lt" + "&semi" * 5 + "; x", "name", maximum=200) == "< x"
    with pytest.raises(Invalid, match="name: hides"):
        plain("&lt" + "&semi" * 30 + ";b", "name", maximum=200)


@pytest.mark.parametrize("piece", ["<a ", "<a '", '<a "', "<script>", "<!--", "</script", "<<", "&lt;", '<a "<', "<a b='>"])
def test_hostile_text_takes_no_longer_than_it_is_long(piece):
    plain("x" + piece * (20_000 // len(piece)), "name", maximum=100_000)  # quadratic work would meet the time-out


@given(st.text(alphabet="<>-/ abps", max_size=60))
def test_nothing_is_lost_but_what_stands_between_angle_brackets(text):
    kept = iter(plain(f"x{text}", "name", maximum=1000))
    assert all(letter in kept for letter in re.sub(r"<[^<>]*>|[^abps]", "", text))


@given(st.text(max_size=200) | st.text(alphabet="<>&;abltgmp/#38 \n\r\x07\x85\u037e\u0338", max_size=60))
def test_plain_text_is_a_fixed_point(text):
    try:
        once = plain(text, "name", maximum=1000, lines=True)
    except Invalid:
        return
    assert plain(once, "name", maximum=1000, lines=True) == once


@pytest.mark.parametrize("marks", ["\u0300\u0327", "\uff9e\u0300", "\u0344\u0327"])
def test_of_marks_without_end_the_first_count(marks):
    """To normalise a run of them takes the square of its length."""
    stored = plain("a" + marks * 10_000 + "b", "x", maximum=2 * MARKS + 2)
    assert (stored[-1], stream_safe(stored[:-1]) in (stored[:-1], stored[: MARKS + 1])) == ("b", True)
    assert plain("a" + "\u0300<b>\u0327</b>" * 200, "x", maximum=2 * MARKS + 2)


def test_marks_that_people_write_stay():
    for text in ("ฐี่ปุ่น", "क्ष्म्य", "n̈ǫ̃́", "か\uff9e"):
        assert stream_safe(text) == text
