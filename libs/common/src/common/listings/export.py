"""Exports: files with what is kept of each listing, as data of `…Exported`, and what such data say."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

import orjson

from common.errors import Invalid
from common.events.codec import Undecodable
from common.events.container import Container
from common.listings.domain import Aggregate, Kind
from common.listings.ports import Kept, Origin
from common.listings.showing import Showing
from common.listings.use_cases import Export
from common.web.validation import Schema, parse_json

#: What an origin holds, and how many characters each may have.
_LONGEST = {"event_id": 36, "request_id": 128, "traceparent": 64}
_LONGEST_OWNER = 300


@dataclass(frozen=True)
class ExportFile:
    """Everything as an Avro object container file, or with the parameter `id` what is kept of those ids. Raises Unavailable."""

    kind: Kind
    export: Export
    container: Container
    shown: Showing

    def __call__(self, parameters: Mapping[str, Any]) -> Iterator[bytes]:
        ids = {str(UUID(id)) for id in parameters["id"]} if "id" in parameters else None
        return self.container.write(exported(self.kind, self.shown, each) for each in self.export(ids))


def exported(kind: Kind, shown: Showing, kept: Kept) -> dict[str, Any]:
    listing = kept.listing
    return asdict(kept.origin) | {
        "id": kept.id,
        "version": kept.version,
        kind.singular: None if listing is None else shown(listing),
        "derived": [] if listing is None else list(listing.derived),
        "owner": "" if listing is None else listing.owner,
        "deleted_at": kept.deleted_at,
    }


def kept(kind: Kind, datum: Mapping[str, Any], schema: Schema) -> Kept:
    """The other way round, for a datum that the container has checked; where a listing was located may be lost.

    `schema` is that of what is given. Raises Undecodable and Invalid for what was never exported from here, and no database would take.
    """
    shown, deleted_at = datum[kind.singular], datum["deleted_at"]
    if datum["version"] < 1 or (shown is None) == (deleted_at is None):
        raise Undecodable(f"it must have a version from 1 on, and be either a {kind.singular} or deleted")
    if shown is not None and (shown["id"], shown["version"]) != (datum["id"], datum["version"]):
        raise Undecodable(f"it holds version {shown['version']} of {shown['id']}")
    for name, longest in (_LONGEST | {"owner": _LONGEST_OWNER}).items():
        if len(datum[name]) > longest or not datum[name].isprintable():
            raise Undecodable(f"{name} must have up to {longest} characters")
    return Kept(
        id=datum["id"],
        version=datum["version"],
        what=deleted_at if shown is None else _listing(kind, shown, datum, schema),
        origin=Origin(**{name: datum[name] for name in _LONGEST}),
    )


def _listing(kind: Kind, shown: Mapping[str, Any], datum: Mapping[str, Any], schema: Schema) -> Aggregate:
    derived: Collection[str] = datum["derived"]
    if unknown := set(derived) - kind.derivable:
        raise Undecodable(f"{min(unknown)!r:.40} cannot be derived")
    given = {field.name: shown[field.name] for field in fields(kind.given)} | dict.fromkeys(derived)  # type: ignore[arg-type]
    given["images"] = [{"url": image["url"]} for image in given["images"]]
    document = parse_json(orjson.dumps({name: value for name, value in given.items() if value is not None}))
    if errors := schema.errors(document):
        raise Invalid(errors)
    located = kind.listing.located_in(shown, derived)
    return kind.listing(
        id=shown["id"],
        version=shown["version"],
        owner=datum["owner"],
        given=kind.given.restored(given),
        located=None if located is None else kind.located.restored(located),
        created_at=shown["created_at"],
        updated_at=shown["updated_at"],
    )
