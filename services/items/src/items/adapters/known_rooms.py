"""What is known of rooms, in the database of the items."""

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import Connection, Engine, Row, case, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from common.db.engine import transaction
from items.adapters.tables import known_rooms
from items.domain import KnownRoom, Place, Unsettled
from items.ports import KnownRooms

_UNSETTLED = known_rooms.c.unsettled.is_not(None)
#: Rooms that a scan reads at a time.
_PAGE = 1000


class SqlKnownRooms(KnownRooms):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, ids: Collection[str]) -> dict[str, KnownRoom]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(known_rooms).where(known_rooms.c.id.in_(ids))).all()
        return {row.id: _known(row) for row in rows}

    def learn(self, rooms: Sequence[KnownRoom]) -> None:
        newest = {room.id: room for room in sorted(rooms, key=lambda room: room.version)}
        if not newest:
            return
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        told = dialect.insert(known_rooms)
        new = told.excluded
        put = told.on_conflict_do_update(
            index_elements=["id"],
            set_={
                "version": new.version,
                "place": new.place,
                "place_hash": new.place_hash,
                "unsettled": case((or_(_UNSETTLED, known_rooms.c.place_hash != new.place_hash), new.unsettled)),
            },
            where=known_rooms.c.version < new.version,
        )
        # In the order of their ids: two who learn the same rooms would else wait for each other.
        with transaction(self._engine) as connection:
            connection.execute(put, [_row(newest[id]) for id in sorted(newest)])

    def correct(self, rooms: Sequence[tuple[KnownRoom, KnownRoom]]) -> None:
        with transaction(self._engine) as connection:
            for seen, right in sorted(rooms, key=lambda pair: pair[0].id):  # in the order in which `learn` locks them
                told, row = _row(seen), _row(right)
                this = update(known_rooms).where(
                    known_rooms.c.id == seen.id,
                    known_rooms.c.version == seen.version,
                    known_rooms.c.place_hash == told["place_hash"],
                )
                connection.execute(this.values(row))

    def scan(self) -> Iterator[KnownRoom]:
        after = None
        while True:
            wanted = select(known_rooms).order_by(known_rooms.c.id).limit(_PAGE)
            if after is not None:
                wanted = wanted.where(known_rooms.c.id > after)
            with self._engine.connect() as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            yield from map(_known, rows)
            after = rows[-1].id

    def unsettled(self, limit: int, without: Collection[str] = ()) -> Sequence[Unsettled]:
        mark, start = known_rooms.c.unsettled, str(uuid4())  # from anywhere on: any number that fails all the time hides no other
        wanted = select(known_rooms).where(_UNSETTLED, known_rooms.c.id.not_in(without)).order_by(mark)
        rows: list[Row[Any]] = []
        with self._engine.connect() as connection:
            for part in (mark >= start, mark < start):
                rows += connection.execute(wanted.where(part).limit(limit - len(rows)))
        return [Unsettled(room=_known(row), mark=row.unsettled) for row in rows]

    def count(self) -> tuple[int, int, int]:
        deleted = known_rooms.c.place.is_(None)
        counted = select(func.count().filter(~deleted), func.count().filter(deleted), func.count().filter(_UNSETTLED))
        with self._engine.connect() as connection:
            living, tombstones, unsettled = connection.execute(counted.select_from(known_rooms)).one()
        return living, tombstones, unsettled

    def settle(self, room: Unsettled) -> None:
        this = update(known_rooms).where(known_rooms.c.id == room.room.id, known_rooms.c.unsettled == room.mark)
        with self._engine.connect() as connection:
            connection.execute(this.values(unsettled=None))


def unsettle(connection: Connection, ids: Collection[str]) -> None:
    """Within a transaction: the items of these rooms, where they are known, may not tell any more where they are.

    Nothing more is learnt until the transaction ends: a room of which nothing is known yet has no row that could be locked. Who learns
    of it now marks it afterwards, and whoever follows the mark sees what this transaction has written.
    """
    if connection.dialect.name == "postgresql":  # SQLite lets in one writer at a time, which is the same
        connection.exec_driver_sql("LOCK TABLE known_rooms IN SHARE ROW EXCLUSIVE MODE")
    here = select(known_rooms.c.id).where(known_rooms.c.id.in_(ids)).order_by(known_rooms.c.id).with_for_update()
    if known := list(connection.scalars(here)):
        connection.execute(update(known_rooms).where(known_rooms.c.id.in_(known)).values(unsettled=str(uuid4())))


def _row(room: KnownRoom) -> dict[str, Any]:
    place = None if room.place is None else room.place.document()
    said = None if place is None else {name: value for name, value in place.items() if name != "version"}
    return {
        "id": room.id,
        "version": room.version,
        "place": place,
        "place_hash": sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest(),
        "unsettled": str(uuid4()),  # items may have come before their room
    }


def _known(row: Row[Any]) -> KnownRoom:
    return KnownRoom(id=row.id, version=row.version, place=None if row.place is None else Place.restored(row.place))
