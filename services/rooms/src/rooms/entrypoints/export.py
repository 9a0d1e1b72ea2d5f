"""Exports: files with what is kept of each room, as data of `RoomExported`, and what such data say."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

import orjson

from common.errors import Invalid
from common.events.codec import Undecodable
from common.events.container import Container
from common.web.validation import Schema, parse_json
from rooms.domain import DERIVABLE, Area, Listing, Room
from rooms.ports import Kept, Origin
from rooms.use_cases import ExportRooms

#: What an origin holds, and how many characters each may have.
_LONGEST = {"event_id": 36, "request_id": 128, "traceparent": 64}


@dataclass(frozen=True)
class RoomsFile:
    """Everything as an Avro object container file, or with the parameter `id` what is kept of those ids. Raises Unavailable."""

    export: ExportRooms
    container: Container

    def __call__(self, parameters: Mapping[str, Any]) -> Iterator[bytes]:
        ids = {str(UUID(id)) for id in parameters["id"]} if "id" in parameters else None
        return self.container.write(map(exported, self.export(ids)))


def exported(kept: Kept) -> dict[str, Any]:
    return asdict(kept.origin) | {
        "id": kept.id,
        "version": kept.version,
        "room": None if kept.room is None else kept.room.shown(),
        "derived": [] if kept.room is None else list(kept.room.derived),
        "deleted_at": kept.deleted_at,
    }


def kept(datum: Mapping[str, Any], schema: Schema) -> Kept:
    """The other way round, for a datum that the container has checked; `located` is lost where the area was given.

    `schema` is that of a listing. Raises Undecodable and Invalid for what was never exported from here, and no database would take.
    """
    room, deleted_at = datum["room"], datum["deleted_at"]
    if datum["version"] < 1 or (room is None) == (deleted_at is None):
        raise Undecodable("it must have a version from 1 on, and be either a room or deleted")
    if room is not None and (room["id"], room["version"]) != (datum["id"], datum["version"]):
        raise Undecodable(f"it holds version {room['version']} of {room['id']}")
    for name, longest in _LONGEST.items():
        if len(datum[name]) > longest or not datum[name].isprintable():
            raise Undecodable(f"{name} must have up to {longest} characters")
    return Kept(
        id=datum["id"],
        version=datum["version"],
        what=deleted_at if room is None else _room(room, datum["derived"], schema),
        origin=Origin(**{name: datum[name] for name in _LONGEST}),
    )


def _room(shown: Mapping[str, Any], derived: Collection[str], schema: Schema) -> Room:
    if unknown := set(derived) - DERIVABLE:
        raise Undecodable(f"{min(unknown)!r:.40} cannot be derived")
    given = {field.name: shown[field.name] for field in fields(Listing)} | dict.fromkeys(derived)
    document = parse_json(orjson.dumps({name: value for name, value in given.items() if value is not None}))
    if errors := schema.errors(document):
        raise Invalid(errors)
    area = shown["area"] if "area" in derived else None
    return Room(
        id=shown["id"],
        version=shown["version"],
        given=Listing.restored(given),
        located=None if area is None else Area.restored(area),
        created_at=shown["created_at"],
        updated_at=shown["updated_at"],
    )
