"""A document takes in the components that it shares with others, and says which of its references means nothing."""

from pathlib import Path

import pytest
import yaml

from common.web.document import load_document

SHARED = "common/listings/openapi.yaml"


def document(tmp_path: Path, *references: str, **components: object) -> Path:
    spec = tmp_path / "openapi.yaml"
    operations = {f"/{number}": {"get": {"responses": {"400": {"$ref": each}}}} for number, each in enumerate(references)}
    spec.write_text(yaml.safe_dump({"openapi": "3.0.3", "paths": operations, "components": components}))
    return spec


def test_what_it_refers_to_stands_in_it_with_all_that_this_refers_to(tmp_path):
    taken = load_document(document(tmp_path, f"{SHARED}#/components/responses/Stale", f"{SHARED}#/components/responses/Stale"))
    references = [path["get"]["responses"]["400"]["$ref"] for path in taken["paths"].values()]
    assert references == ["#/components/responses/Stale"] * 2
    components = taken["components"]
    assert components["responses"]["Stale"]["headers"]["ETag"] == {"$ref": "#/components/headers/ETag"}
    assert "ETag" in components["headers"]
    problem = components["responses"]["Stale"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    assert components["schemas"]["Problem"]["type"] == "object"
    assert set(components["responses"]) == {"Stale"}, "and nothing else"


def test_its_own_components_stay_as_they_are(tmp_path):
    own = {"schemas": {"Listing": {"type": "object"}}, "responses": {"Own": {"description": "ours"}}}
    spec = document(tmp_path, "#/components/responses/Own", **own)
    assert load_document(spec) == yaml.safe_load(spec.read_text())


@pytest.mark.parametrize(
    "reference",
    [
        f"{SHARED}#/components/responses/Nothing",
        f"{SHARED}#/components/nothing/Stale",
        f"{SHARED}#/paths",
        f"{SHARED}#",
        SHARED,
        "common/listings/nothing.yaml#/components/responses/Stale",
        "nothing/openapi.yaml#/components/responses/Stale",
        "https://a.example/openapi.yaml#/components/responses/Stale",
        "",
    ],
)
def test_a_reference_that_means_nothing_is_named(tmp_path, reference):
    with pytest.raises(ValueError, match="means nothing") as wrong:
        load_document(document(tmp_path, reference))
    assert reference.partition("#")[0] in str(wrong.value)


def test_a_component_of_the_same_name_that_is_another_is_named(tmp_path):
    spec = document(tmp_path, f"{SHARED}#/components/responses/Stale", schemas={"Problem": {"type": "string"}})
    with pytest.raises(ValueError, match=r"#/components/schemas/Problem is there already, and is not that of"):
        load_document(spec)
