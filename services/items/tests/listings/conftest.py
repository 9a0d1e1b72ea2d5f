"""What the suites must know of items."""

import pytest

from common.testing.listings.tested import WIDE, Tested
from items.__main__ import main
from items.bootstrap import SERVICE

OPTIONAL = {
    "description": "Tuned in spring.",
    "category": "music",
    "price": 900,
    "currency": "USD",
    "quantity": 2,
    "condition": "good",
    "provider": "nestly",
}
NO_WORDS = ["5", "true", "[]", "{}", '""']
TOO_MANY = ["-1", "1.5", '"5"', "true", "[]", "{}", "1e30", "1" + "0" * 30, "-0.5"]
WRONG = {
    "price": [*TOO_MANY, "1000000000001"],
    "quantity": [*TOO_MANY, "1000000001"],
    "condition": NO_WORDS,
    "currency": NO_WORDS,
    "room_id": ["5", "true", "[]", '""', '"7"', '"00000000-0000-0000-0000-00000000000g"'],
}
SENSELESS = {"currency": ["XYZ", "E1R", "EURO", "ZZZ"], "condition": ["broken", "new\n"]}


@pytest.fixture(scope="session")
def tested() -> Tested:
    return Tested(
        service=SERVICE,
        main=main,
        required={"name": "Upright piano"},
        optional=OPTIONAL,
        texts={"name": 200, "description": 20_000, "category": 100, "provider": 100},
        wrong=WRONG,
        senseless=SENSELESS,
        filters={"category": ("one", "other"), "provider": ("one", "other")},
        largest=[
            {
                "name": WIDE * 200,
                "description": WIDE * 20_000,
                "category": WIDE * 100,
                "price": 10**12,
                "currency": "XXX",
                "quantity": 10**9,
                "condition": "used",
                "provider": WIDE * 100,
            }
        ],
        smallest={"name": "a", "price": 0, "quantity": 0},
    )
