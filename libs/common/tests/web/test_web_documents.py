"""What the services' own documents say: all that is wrong at once, in words; and the example that Swagger UI sends first."""

import re
from pathlib import Path

import pytest
import yaml

from common.web.document import load_document
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
    document = load_document(SPEC)
    example = document["components"]["schemas"]["Listing"]["example"]
    assert example == document["components"]["examples"]["Full"]["value"]
    assert schema_validator(SPEC, "Listing")(example) == ()


def test_a_document_is_laid_over_the_one_that_it_comes_from(tmp_path: Path) -> None:
    words = {"document": "common/listings/operations.yaml", "plural": "oboes", "singular": "oboe"}
    own = {
        "x-from": words,
        "info": {"description": "Reeds."},
        "paths": {"/oboes": {"get": {"parameters": [{"name": "maker", "in": "query", "schema": {"type": "string"}}]}}},
        "components": {"schemas": {"Listing": {"required": ["name"], "properties": {"name": {"type": "string"}}}}},
    }
    (spec := tmp_path / "openapi.yaml").write_text(yaml.safe_dump(own))
    document = load_document(spec)
    assert "x-from" not in document
    assert (document["info"]["title"], document["info"]["description"]) == ("Atrium oboes", "Reeds.")
    assert set(document["paths"]) == {f"/oboes{path}" for path in ("", "/import", "/export", "/summary", "/{id}")}
    assert document["paths"]["/oboes"]["post"]["summary"] == "Publish an oboe"
    listed = document["paths"]["/oboes"]["get"]["parameters"]
    assert [each["name"] for each in listed] == ["maker", "is_visible", "limit", "cursor"]
    listing = document["components"]["schemas"]["Listing"]
    assert (listing["required"], set(listing["properties"])) == (["name"], {"name", "id", "version", "created_at", "updated_at"})
    assert not re.search("<(a )?(plural|singular)>", yaml.safe_dump(document), re.IGNORECASE)
