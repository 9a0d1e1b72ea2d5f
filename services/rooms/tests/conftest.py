"""What the suites must know of rooms."""

from typing import Any

import pytest

from common.testing.listings.tested import WIDE, Tested
from rooms.__main__ import main
from rooms.bootstrap import SERVICE
from rooms.domain import Area

REQUIRED = {
    "name": "Attic room",
    "description": "Quiet and bright.",
    "price": 650,
    "recurrency": "monthly",
    "provider": "nestly",
    "coordinates": {"lat": 52.4986, "lon": 13.4034},
}
OPTIONAL = {
    "monthly_price": 7,
    "property_size": 12.5,
    "currency": "USD",
    "area": {"id": "7", "name": "Canal", "city": "Berlin", "country": "Germany", "coordinates": {"lat": 1.5, "lon": 2.5}},
    "furnished": True,
}
AREA_TEXTS = {f"area.{name}": 200 for name in ("name", "city", "country")}
OUT_OF_RANGE = {
    "lat": ["91", "-90.0000001", '"1"', "null", "true", "[]", "1e308"],
    "lon": ["181", "-181", '"1"', "null", "180.0000001"],
}
WRONG = {
    "price": ["-1", "1.5", '"5"', "true", "null", "[]", "{}", "1000000000001", "1e30", "1" + "0" * 30, "-0.5"],
    "monthly_price": ["-1", "1.5", '"5"', "true", "[]", "30000000000001", "1" + "0" * 30],
    "property_size": ["-0.1", '"5"', "false", "[]", "1000000.1", "1e300"],
    "recurrency": ["5", "true", "null", "[]", "{}", '""'],
    "currency": ["5", "true", "null", "[]", "{}", '""'],
    "furnished": ["0", "1", '"true"', '"yes"', "[]"],
    "is_visible": ["null"],
    "images": ["null"],
    "coordinates": ["null", "5", "[1, 2]", '"1,2"'],
    "area": ["5", "[]", '"Berlin"', "false"],
    **{name: ["null"] for name in AREA_TEXTS},
    "area.coordinates": ["5", "[]"],
    **{f"{place}.{name}": values for place in ("coordinates", "area.coordinates") for name, values in OUT_OF_RANGE.items()},
}
SENSELESS = {
    "currency": ["XYZ", "E1R", "EURO", "ZZZ"],
    "recurrency": ["yearly", "monthly\n"],
}


def largest(sign: int) -> dict[str, Any]:
    """At the north-eastern end of the world, or the other one."""
    there = {"lat": -90 * sign, "lon": -180 * sign}
    return {
        "name": WIDE * 200,
        "description": WIDE * 20_000,
        "price": 10**12,
        "recurrency": "daily",
        "provider": WIDE * 100,
        "coordinates": {"lat": 90 * sign, "lon": 180 * sign},
        "property_size": 10**6,
        "currency": "XXX",
        "area": {**dict.fromkeys(("id", "name", "city", "country"), WIDE * 200), "coordinates": there},
        "furnished": False,
    }


@pytest.fixture(scope="session")
def tested() -> Tested:
    return Tested(
        service=SERVICE,
        main=main,
        required=REQUIRED,
        optional=OPTIONAL,
        url_required=True,
        texts={"name": 200, "description": 20_000, "provider": 100, "area.id": 200, **AREA_TEXTS},
        wrong=WRONG,
        senseless=SENSELESS,
        filters={"provider": ("one", "other"), "furnished": (True, False)},
        largest=[largest(1), largest(-1) | {"monthly_price": 30 * 10**12 - 1}],
        smallest={
            "name": "a",
            "description": "b",
            "price": 0,
            "recurrency": "daily",
            "provider": "c",
            "coordinates": {"lat": 0, "lon": -0.0},
        },
        moved={"price": 1000, "coordinates": {"lat": 45.7578, "lon": 4.832}},
        located=Area(name="Mitte", city="Berlin", country="Germany"),
    )
