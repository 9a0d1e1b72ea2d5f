"""The export: what is kept of each room as a datum of `RoomExported`, and a file of such data."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from common.events.container import Container
from rooms.ports import Kept
from rooms.use_cases import ExportRooms


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
