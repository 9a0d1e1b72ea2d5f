"""Properties of what comes in: what is valid once stays valid when it is sent back, and a patch changes what it names, or nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.errors import Invalid
from common.listings.controller import patched
from common.listings.fields import Coordinates
from common.web.json_input import parse_json
from common.web.validation import component_schema
from rooms.domain import ROOM, Area, Listing, Room
from rooms.entrypoints.http import SPEC

SCHEMA = component_schema(SPEC, "Listing")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
REQUIRED = ("name", "description", "price", "recurrency", "provider", "url", "coordinates")

#: Without the phase that explains: it traces each line, which takes minutes here.
quick = settings(
    max_examples=100,
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)

# Bits of markup between letters of all kinds, so that cleaning has something to do.
BITS = [
    "<b>",
    "</b>",
    "<script>",
    "&amp;",
    "&lt;",
    "&#60;",
    "&gt;",
    "&nbsp;",
    "&",
    "<",
    ">",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\u0301",
    "e",
    "日",
    "😀",
    "\x85",
]
TEXTS = st.lists(
    st.sampled_from(BITS) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5), max_size=12
).map("".join)
URLS = st.builds(
    "{}{}://{}/{}{}".format,
    st.sampled_from(["", " ", "\n"]),
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["a.example", "Ä.example", "A.EXAMPLE:8080", "xn--a", "[::1]", "İ.example"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["", "?q=1#f", " "]),
)
LATITUDES = st.floats(-90, 90) | st.integers(-90, 90)
LONGITUDES = st.floats(-180, 180) | st.integers(-180, 180)
PLACES = st.fixed_dictionaries({"lat": LATITUDES, "lon": LONGITUDES})
AREAS = st.fixed_dictionaries(
    {"name": TEXTS, "city": TEXTS, "country": TEXTS}, optional={"id": st.none() | TEXTS, "coordinates": st.none() | PLACES}
)
PRICES = st.integers(0, 10**12) | st.sampled_from([0, 1, 10**12])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXTS,
    "description": TEXTS,
    "price": PRICES,
    "recurrency": st.sampled_from(["daily", "Weekly", "MONTHLY"]),
    "provider": TEXTS,
    "url": URLS,
    "coordinates": PLACES,
    "monthly_price": st.none() | PRICES,
    "property_size": st.none() | st.integers(0, 10**6) | st.floats(0, 10**6),
    "currency": st.sampled_from(["EUR", "usd", "Chf", "ZZZ"]),
    "area": st.none() | AREAS,
    "is_visible": st.booleans(),
    "furnished": st.none() | st.booleans(),
    "images": st.lists(st.fixed_dictionaries({"url": URLS}), max_size=3),
}
LISTINGS = st.fixed_dictionaries(
    {name: FIELDS[name] for name in REQUIRED}, optional={name: each for name, each in FIELDS.items() if name not in REQUIRED}
)
#: Half a pair of coordinates, half an area, null where it is and where it is not allowed, and now and then nonsense.
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        name: each | st.none() | st.sampled_from([-1, "x", [], {}, 10**30, {"lat": 91}, {"lat": 5}, {"name": "N"}, {"id": None}])
        for name, each in FIELDS.items()
    },
)


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    """Any room there may be: of a listing that was valid, located or not."""

    listing = draw(LISTINGS.map(lambda each: parsed(lambda: Listing.parse(each))).filter(lambda each: isinstance(each, Listing)))
    places = st.builds(
        Area, name=st.just("N"), city=st.just("C"), country=st.just("D"), coordinates=st.just(Coordinates(lat=1.5, lon=2.5))
    )
    return Room(id="1", version=1, given=listing, located=draw(st.none() | places), created_at=NOW, updated_at=NOW)


def as_sent(room: Room) -> dict[str, Any]:
    """What a client that read the room sends back: through JSON, as the API does it."""
    document: dict[str, Any] = parse_json(orjson.dumps(room.shown(), option=orjson.OPT_UTC_Z))
    return document


def parsed(make: Callable[[], Listing]) -> Listing | set[str]:
    """The listing, or the outermost fields for which it is refused."""
    try:
        return make()
    except Invalid as refused:
        return {root(error.name) for error in refused.errors}


def root(name: str) -> str:
    return name.partition(".")[0].partition("[")[0]


@quick
@given(room=rooms())
def test_what_is_shown_can_be_sent_back_and_changes_nothing(room):
    document = as_sent(room)
    assert SCHEMA.errors(document) == ()
    assert Listing.parse(room.unechoed(document)) == room.given
    assert patched(ROOM, room, {}, SCHEMA) == room.given
    assert Listing.restored(orjson.loads(orjson.dumps(room.given.document()))) == room.given


@quick
@given(room=rooms(), patch=PATCHES)
def test_a_patch_changes_what_it_names_or_is_refused_for_what_it_names(room, patch):
    outcome = parsed(lambda: patched(ROOM, room, patch, SCHEMA))
    if isinstance(outcome, set):
        assert outcome <= patch.keys()
        return
    before, after = room.given.document(), outcome.document()
    assert {name for name in before if before[name] != after[name]} <= patch.keys()
    for name, value in patch.items():
        if value is None:
            assert after[name] in (None, [], "EUR", True)
        elif name not in ("coordinates", "area"):
            alone = Listing.parse(room.given.document() | {name: value})
            assert after[name] == alone.document()[name], "as if it had been sent with the whole"
    # Derived values are given only by who names them.
    assert outcome.monthly_price is None or room.given.monthly_price is not None or "monthly_price" in patch
    assert outcome.area is None or room.given.area is not None or "area" in patch
    revised = room.revised(outcome, room.located, LATER)
    assert patched(ROOM, revised, patch, SCHEMA) == outcome, "once more changes nothing more"


@quick
@given(document=LISTINGS, name=st.sampled_from(REQUIRED))
def test_without_a_required_field_nothing_is_accepted(document, name):
    del document[name]
    assert name in {error.name for error in SCHEMA.errors(document)}


@quick
@given(document=LISTINGS)
def test_a_listing_is_accepted_or_refused_by_name(document):
    if SCHEMA.errors(document):
        return
    outcome = parsed(lambda: Listing.parse(document))
    if isinstance(outcome, set):
        assert outcome <= document.keys()
        return
    assert Listing.parse(outcome.document()) == outcome
    for text in (outcome.name, outcome.provider, outcome.url):
        assert text == text.strip() and not any(letter < " " for letter in text)
