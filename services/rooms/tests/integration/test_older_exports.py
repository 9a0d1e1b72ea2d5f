"""Exports of earlier releases are restored: what they could not say is as if nobody had said it."""

import copy
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest

import schemas

VERSIONS = (1, 2)


def only(schema: Any, datum: Any) -> Any:
    """Of a datum what an older schema has of it."""
    if isinstance(schema, list):
        return None if datum is None else only(next(each for each in schema if each != "null"), datum)
    if isinstance(schema, Mapping) and schema.get("type") == "record":
        return {each["name"]: only(each["type"], datum[each["name"]]) for each in schema["fields"]}
    if isinstance(schema, Mapping) and schema.get("type") == "array":
        return [only(schema["items"], each) for each in datum]
    if isinstance(schema, Mapping) and isinstance(schema.get("type"), Mapping | list):
        return only(schema["type"], datum)
    return datum


@pytest.mark.parametrize("version", VERSIONS)
def test_an_export_of_a_release_before_is_restored(run, serve, listing, sqlite_url, elsewhere, tmp_path: Path, version: int):
    api = serve(sqlite_url)
    plain = api.create(listing(images=[{"url": "https://a.example/1.jpg"}]))
    given = api.create(listing(monthly_price=7, furnished=True, is_visible=False))
    gone = api.create(listing())
    api.client.delete(api.at(gone)).raise_for_status()

    schema = orjson.loads((schemas.DIRECTORY / "rooms" / f"RoomExported.v{version}.avsc").read_bytes())
    data = [only(schema, each) for each in copy.deepcopy(api.exported())]
    assert "owner" not in data[0]
    file, written = tmp_path / "rooms.avro", BytesIO()
    fastavro.writer(written, fastavro.parse_schema(schema), data, codec="deflate")
    file.write_bytes(written.getvalue())

    other = serve(elsewhere)
    status, _, said = run("import", file, DATABASE_URL=elsewhere)
    assert (status, "3 restored · 0 unchanged · 0 rejected" in said) == (0, True), said
    listed = {each["id"]: each for each in other.listed()}
    unknown = {"furnished": None} if version == 1 else {}
    assert listed == {plain["id"]: plain | unknown, given["id"]: given | unknown}
    assert {each["owner"] for each in other.exported()} == {""}
    assert [each["derived"] for each in other.exported(given["id"])] == [["area"]]
