"""What of an export can be put back beside what is there, and how a database does it in one transaction."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rooms.adapters.rows import BLANK, columns, origin, outbox, rooms, url_hash
from rooms.domain import Room
from rooms.ports import Kept, Restored


def judged(
    kept: Sequence[Kept], there: Mapping[str, tuple[int, Hashable]], key: Callable[[str], Hashable] = str
) -> list[Restored]:
    """What is to become of each of these beside what is `there`: by id the version and, where it lives, its url, as `key` makes it.

    `there` holds what has one of their ids, and the living rooms that have one of their urls.
    """
    outcomes: dict[int, Restored] = {}
    writing: dict[str, int] = {}
    for position, each in enumerate(kept):
        rival = writing.get(each.id)
        if each.version <= (there.get(each.id, (0, None))[0] if rival is None else kept[rival].version):
            outcomes[position] = Restored("unchanged")
            continue
        if rival is not None:
            outcomes[rival] = Restored("unchanged")
        writing[each.id] = position
    refused: dict[str, str] = {}
    while True:
        # Who is refused keeps its present url, which another one may have wanted.
        holders = {url: id for id, (_, url) in there.items() if url is not None and id not in writing}
        for id, position in writing.items():
            room = kept[position].room
            if room is not None and (holder := holders.setdefault(key(room.given.url), id)) != id:
                refused[id] = holder
        if not refused:
            return [outcomes.get(position, Restored("restored")) for position in range(len(kept))]
        for id, holder in refused.items():
            outcomes[writing.pop(id)] = Restored("taken", holder)
        refused.clear()


def restored(connection: Connection, kept: Sequence[Kept], events: Sequence[Mapping[str, Any]]) -> list[Restored]:
    """Writes what can be, each with its event. Raises IntegrityError where a url was taken meanwhile: then all of it is to be undone."""
    hashes = [url_hash(each.room.given.url) for each in kept if each.room is not None]
    wanted = or_(rooms.c.id.in_([each.id for each in kept]), rooms.c.url_hash.in_(hashes))
    rows = connection.execute(
        select(rooms.c.id, rooms.c.version, rooms.c.url_hash).where(wanted).order_by(rooms.c.id).with_for_update()
    )
    there = {row.id: (row.version, row.url_hash) for row in rows}
    outcomes = judged(kept, there, url_hash)
    writing = [(each, event) for each, event, made in zip(kept, events, outcomes, strict=True) if made.outcome == "restored"]
    if replaced := [each.id for each, _ in writing if each.id in there]:
        # Urls may have changed hands among these.
        connection.execute(update(rooms).where(rooms.c.id.in_(replaced)).values(url_hash=None))
    if writing:
        into = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(rooms)
        put = into.on_conflict_do_update(
            index_elements=["id"],
            set_={column.name: into.excluded[column.name] for column in rooms.c if not column.primary_key},
            where=rooms.c.version < into.excluded.version,
        )
        connection.execute(put, [_row(each, event) for each, event in writing])
        connection.execute(insert(outbox), [event for _, event in writing])
    return outcomes


def _row(kept: Kept, event: Mapping[str, Any]) -> dict[str, Any]:
    state = columns(kept.what) | {"deleted_at": None} if isinstance(kept.what, Room) else {**BLANK, "deleted_at": kept.what}
    return {"id": kept.id} | state | {"version": kept.version} | origin(event)
