"""The HTTP operations of `openapi.yaml`, one method each; the name is the operationId."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import request

from common.errors import Invalid
from common.web.conditions import etag, expected_versions, not_modified, not_modified_answer
from common.web.consistency import written
from common.web.merge_patch import apply
from common.web.pagination import decode_cursor, encode_cursor, next_link
from common.web.validation import Schema
from rooms.domain import Listing, Room, provider_name
from rooms.ports import Filter
from rooms.use_cases import ListRooms, PublishRoom, ReadRoom, ReviseRoom, WithdrawRoom

SPEC = Path(__file__).parent / "openapi.yaml"
#: What this service's listings are called in `Atrium-Consistency`.
KIND = "rooms"
Answer = tuple[Any, int, dict[str, str]]


def location(room_id: str) -> str:
    """The path of a room."""
    return f"/v1.0/rooms/{room_id}"


@dataclass(frozen=True)
class RoomsController:
    publish: PublishRoom
    revise: ReviseRoom
    withdraw: WithdrawRoom
    room: ReadRoom
    rooms: ListRooms
    schema: Schema

    def create(self, body: dict[str, Any]) -> Answer:
        room = self.publish(Listing.parse(body))
        return (
            room.shown(),
            201,
            {"ETag": etag(room.version), "Location": location(room.id), **written(KIND, room.id, room.version)},
        )

    def index(self, limit: int, provider: str | None = None, is_visible: bool | None = None, cursor: str | None = None) -> Answer:
        after = None if cursor is None else _after(cursor)
        wanted = Filter(provider=None if provider is None else provider_name(provider), is_visible=is_visible)
        page = self.rooms(wanted, after, limit + 1)
        headers = {}
        if len(page) > limit:
            headers["Link"] = next_link(request.path, request.query_string.decode(), encode_cursor((page[limit - 1].id,)))
        return [room.shown() for room in page[:limit]], 200, headers

    def read(self, room_id: str) -> Answer:
        room = self.room(_id(room_id))
        if not_modified(request.headers.get("If-None-Match"), room.version):
            return not_modified_answer(room.version)
        return room.shown(), 200, {"ETag": etag(room.version)}

    def replace(self, room_id: str, body: dict[str, Any]) -> Answer:
        return self._revised(room_id, lambda room: Listing.parse(room.unechoed(body)))

    def patch(self, room_id: str, body: dict[str, Any]) -> Answer:
        return self._revised(room_id, lambda room: patched(room, body, self.schema))

    def delete(self, room_id: str) -> Answer:
        id = _id(room_id)
        return None, 204, written(KIND, id, self.withdraw(id, expected_versions(request.headers.get("If-Match"))))

    def _revised(self, room_id: str, revision: Callable[[Room], Listing]) -> Answer:
        room = self.revise(_id(room_id), revision, expected_versions(request.headers.get("If-Match")))
        return room.shown(), 200, {"ETag": etag(room.version), **written(KIND, room.id, room.version)}


def patched(room: Room, patch: dict[str, Any], schema: Schema) -> Listing:
    """The listing that a merge patch (RFC 7396) makes of what a room shows; derived values that the patch does not name stay derived.

    Raises Invalid where the outcome is none; `schema` is that of a listing.
    """
    shown = {name: value for name, value in room.shown().items() if name not in schema.read_only}
    document = room.unechoed(apply(shown, patch), touched=frozenset(patch))
    if errors := schema.errors(document):
        raise Invalid(errors)
    return Listing.parse(document)


def _after(cursor: str) -> str:
    (after,) = decode_cursor(cursor, (str,))
    try:
        return _id(after)
    except ValueError:
        raise Invalid.field("cursor", "is not a cursor this list has given out", "query") from None


def _id(text: str) -> str:
    """A UUID as we write it: the document lets other spellings pass."""
    return str(UUID(text))
