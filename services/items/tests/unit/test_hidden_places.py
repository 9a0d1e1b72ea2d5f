"""Who puts something into a room that is hidden does not learn where that is."""

from typing import Any, cast

import pytest

from common.security import current
from common.security.principal import ANONYMOUS, LOCAL, Principal
from items.entrypoints.http import ItemsController

ANN = Principal("issuer", "ann", frozenset({"items:write"}))
PLACE = {"version": 1, "name": "Attic", "coordinates": {"lat": 1, "lon": 2}, "city": "Berlin", "is_visible": False}


def seen(by: Principal, room: dict[str, Any] | None) -> Any:
    current.use(by)
    return ItemsController.seen(cast(ItemsController, None), {"name": "Piano", "room": room})["room"]


@pytest.mark.parametrize("by", [ANONYMOUS, ANN])
def test_a_hidden_room_is_not_told(by: Principal) -> None:
    assert seen(by, PLACE) is None
    assert seen(by, None) is None
    assert seen(by, PLACE | {"is_visible": True}) == PLACE | {"is_visible": True}


def test_an_admin_sees_it() -> None:
    assert seen(LOCAL, PLACE) == PLACE
