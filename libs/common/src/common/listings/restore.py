"""What of an export can be put back beside what is there, and how a database does it in one transaction."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from common.db.versioned import Beside, merged, write_beside
from common.listings.domain import Aggregate
from common.listings.ports import Kept, Restored
from common.listings.rows import Tables, columns, origin, url_hash


def judged(
    kept: Sequence[Kept], there: Mapping[str, tuple[int, Hashable]], key: Callable[[str], Hashable] = str
) -> list[Restored]:
    """What is to become of each of these beside what is `there`: by id the version and, where it lives, its url, as `key` makes it.

    `there` holds what has one of their ids, and the living listings that have one of their urls.
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
            url = url_of(kept[position])
            if url is not None and (holder := holders.setdefault(key(url), id)) != id:
                refused[id] = holder
        if not refused:
            return [outcomes.get(position, Restored("restored")) for position in range(len(kept))]
        for id, holder in refused.items():
            outcomes[writing.pop(id)] = Restored("taken", holder)
        refused.clear()


def url_of(kept: Kept) -> str | None:
    """None for a tombstone, and for a listing that has none."""
    return None if kept.listing is None else kept.listing.given.url


def restored(
    connection: Connection,
    tables: Tables,
    kept: Sequence[Kept],
    events: Sequence[Mapping[str, Any]],
    beside: Sequence[Sequence[Beside]],
) -> list[Restored]:
    """Writes what can be, each with its event and what stands `beside` it.

    Raises IntegrityError where a url was taken meanwhile: then all of it is to be undone.
    """
    listings = tables.listings
    hashes = [url_hash(url) for each in kept if (url := url_of(each)) is not None]
    wanted = or_(listings.c.id.in_([each.id for each in kept]), listings.c.url_hash.in_(hashes))
    rows = connection.execute(
        select(listings.c.id, listings.c.version, listings.c.url_hash).where(wanted).order_by(listings.c.id).with_for_update()
    )
    there = {row.id: (row.version, row.url_hash) for row in rows}
    outcomes = judged(kept, there, url_hash)
    everything = zip(kept, events, beside, outcomes, strict=True)
    writing = [(each, event, further) for each, event, further, made in everything if made.outcome == "restored"]
    if replaced := [each.id for each, _, _ in writing if each.id in there]:
        # Urls may have changed hands among these.
        connection.execute(update(listings).where(listings.c.id.in_(replaced)).values(url_hash=None))
    if writing:
        into = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(listings)
        put = into.on_conflict_do_update(
            index_elements=["id"],
            set_={column.name: into.excluded[column.name] for column in listings.c if not column.primary_key},
            where=listings.c.version < into.excluded.version,
        )
        connection.execute(put, [_row(tables, each, event) for each, event, _ in writing])
        connection.execute(insert(tables.outbox), [event for _, event, _ in writing])
        write_beside(connection, merged(further for _, _, further in writing))
    return outcomes


def _row(tables: Tables, kept: Kept, event: Mapping[str, Any]) -> dict[str, Any]:
    what = kept.what
    state = columns(tables, what) | {"deleted_at": None} if isinstance(what, Aggregate) else {**tables.blank, "deleted_at": what}
    return {"id": kept.id} | state | {"version": kept.version} | origin(event)
