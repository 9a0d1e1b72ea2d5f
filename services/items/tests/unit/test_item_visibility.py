"""What stands in a hidden room is hidden with it: else it would tell where the room is."""

from datetime import UTC, datetime

import pytest

from common.listings.fields import Coordinates
from common.listings.use_cases import may_see
from common.security.principal import ANONYMOUS, LOCAL, Principal
from items.domain import Item, Listing, Place

OWNER = Principal("issuer", "ann", frozenset({"items:write"}))


def item(*, itself: bool, room: bool | None) -> Item:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    place = None
    if room is not None:
        place = Place(version=1, name="Attic", coordinates=Coordinates(lat=1, lon=2), city=None, is_visible=room)
    given = Listing(name="Piano", is_visible=itself)
    return Item(id="x", version=1, owner=OWNER.owner, given=given, located=place, created_at=now, updated_at=now)


@pytest.mark.parametrize(
    ("itself", "room", "seen"),
    [(True, None, True), (True, True, True), (True, False, False), (False, True, False), (False, None, False)],
)
def test_it_is_seen_only_where_nothing_hides_it(itself: bool, room: bool | None, seen: bool) -> None:
    hidden_or_not = item(itself=itself, room=room)
    assert may_see(hidden_or_not, ANONYMOUS) == seen
    assert may_see(hidden_or_not, OWNER)
    assert may_see(hidden_or_not, LOCAL)
