"""What the suites must know of widgets."""

import pytest

from common.testing.listings.tested import WIDE, Tested
from widgets.__main__ import main
from widgets.bootstrap import SERVICE


@pytest.fixture(scope="session")
def tested() -> Tested:
    return Tested(
        service=SERVICE,
        main=main,
        required={"name": "First widget"},
        optional={"description": "Well kept.", "price": 900, "currency": "USD", "provider": "nestly"},
        texts={"name": 200, "description": 20_000, "provider": 100},
        wrong={
            "price": ["-1", "1.5", '"5"', "true", "[]", "{}", "1000000000001", "1e30"],
            "currency": ["5", "true", "[]", "{}", '""'],
        },
        senseless={"currency": ["XYZ", "E1R", "EURO", "ZZZ"]},
        filters={"provider": ("one", "other")},
        largest=[
            {
                "name": WIDE * 200,
                "description": WIDE * 20_000,
                "price": 10**12,
                "currency": "XXX",
                "provider": WIDE * 100,
            }
        ],
        smallest={"name": "a", "price": 0},
    )
