"""Text from crawlers becomes plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid
from common.text import plain


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
    "empty", ["", "   ", "<b></b>", "&nbsp;", "\u200b \x01".replace("\u200b", ""), "<script>only()</script>"]
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


@given(st.text(max_size=200) | st.text(alphabet="<>&;abltgmp/#38 \n\r\x07\x85\u037e\u0338", max_size=60))
def test_plain_text_is_a_fixed_point(text):
    try:
        once = plain(text, "name", maximum=1000, lines=True)
    except Invalid:
        return
    assert plain(once, "name", maximum=1000, lines=True) == once
