"""Items in a relational database: listings whose rooms stay where they are while an item is written."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from common.listings.domain import Aggregate
from common.listings.sql import SqlListings
from items.adapters.known_rooms import unsettle
from items.adapters.tables import known_rooms
from items.domain import Item, Place
from items.ports import Items


class SqlItems(SqlListings, Items):
    def of_room(self, room_id: str, after: str | None, limit: int) -> Sequence[Item]:
        return [each for each in self.list({"room_id": room_id}, after, limit) if isinstance(each, Item)]

    def in_unknown_rooms(self, after: str | None, limit: int) -> Sequence[str]:
        rows = self._rows
        known = select(known_rooms.c.id).where(known_rooms.c.id == rows.c.room_id)
        wanted = select(rows.c.room_id).distinct().where(rows.c.room_id.is_not(None), self._alive, ~known.exists())
        if after is not None:
            wanted = wanted.where(rows.c.room_id > after)
        with self._engine.connect() as connection:
            return list(connection.scalars(wanted.order_by(rows.c.room_id).limit(limit)))

    def movable(self, listing: Aggregate) -> bool:
        return listing.located is not None

    def held(self, connection: Connection, listings: Sequence[Aggregate]) -> Sequence[bool]:
        """Each room must be known as its item tells of it, and stays so until the item is written.

        In the same version it may be another place: after a repair, of rooms that were restored from an old backup.
        """
        wanted = {each.given.room_id for each in listings if isinstance(each, Item)}
        here = select(known_rooms.c.id, known_rooms.c.place).where(known_rooms.c.id.in_(wanted), known_rooms.c.place.is_not(None))
        # Shared: any number of items of one room are written at a time, but not while what is known of it changes.
        rows = connection.execute(here.order_by(known_rooms.c.id).with_for_update(read=True))
        places: dict[str | None, Place] = {row.id: Place.restored(row.place) for row in rows}
        return [
            isinstance(each, Item) and each.located is not None and places.get(each.given.room_id) == each.located
            for each in listings
        ]

    def came_back(self, connection: Connection, listings: Sequence[Aggregate]) -> None:
        """Their rooms may have moved or gone since."""
        if rooms := {each.given.room_id for each in listings if isinstance(each, Item) and each.given.room_id}:
            unsettle(connection, rooms)
