"""What the services' own documents say: all that is wrong at once, in words; and the example that Swagger UI sends first."""

from pathlib import Path

import pytest
import yaml

from common.web.validation import schema_validator

SPEC = Path(__file__).parents[4] / "services" / "rooms" / "src" / "rooms" / "entrypoints" / "openapi.yaml"


@pytest.mark.parametrize("component", ["Listing", "ListingPatch"])
def test_whatever_is_wrong_with_a_room_is_named_at_once_in_words(component: str) -> None:
    wrong = {
        "name": "",
        "price": -1,
        "url": "javascript:alert(1)",
        "colour": "red",
        "recurrency": "yearly",
        "currency": "euro",
        "images": [{"url": "https://rooms.example/1.jpg"}, {"url": "ftp://rooms.example/2.jpg"}],
    }
    errors = {error.name: error.detail for error in schema_validator(SPEC, component)(wrong) if error.detail != "is missing"}
    assert errors["url"] == errors["images[1].url"] == "must start with http:// or https://"
    assert errors["recurrency"] == "must be daily, weekly or monthly"
    assert errors.keys() == {"name", "price", "url", "colour", "recurrency", "currency", "images[1].url"}
    assert schema_validator(SPEC, component)({"currency": "€€€"})[-1].detail == "must be an ISO 4217 code"


@pytest.mark.parametrize("url", ["http://a.example", " HTTPS://a.example/b ", "\u2003https://a.example"])
def test_how_a_web_address_is_written_is_left_to_the_domain(url: str) -> None:
    assert schema_validator(SPEC, "ListingPatch")({"url": url}) == ()


def test_swagger_ui_fills_its_form_with_a_room_that_can_be_published() -> None:
    document = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    example = document["components"]["schemas"]["Listing"]["example"]
    assert example == document["components"]["examples"]["Attic"]["value"]
    assert schema_validator(SPEC, "Listing")(example) == ()
