"""The table of images: which are wanted, who fetches which, and what became of each.

An image is taken under a lease: a random word that only its taker knows. Whatever a taker says later counts only while the row still has
its word, so that it makes no difference who is slow, or whose clock is wrong: clocks decide when something is tried, never what it is.
"""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Engine, Index, Integer, MetaData, String, Table, Update, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from common.db.engine import transaction
from common.images.names import host, image_key
from common.observability.metrics import Reading
from common.status import Part, Value

PENDING, STORED, FAILED = "pending", "stored", "failed"
STATES = (PENDING, STORED, FAILED)
#: Keys that one statement looks for.
TOGETHER = 500
#: Seconds after which an image that was taken, and of which nothing was heard, is taken by another: longer than all its steps together.
LEASE = 180.0


def images_table(metadata: MetaData) -> Table:
    """Each image once, by the hash of its url. `due_at`: milliseconds since 1970 before which nobody takes it; 0 for what is new.

    `attempts` counts answers that were no image; `taken` how often it was taken since nobody said what became of it.
    """
    return Table(
        "images",
        metadata,
        Column("key", String(64), primary_key=True),
        Column("url", String(2048), nullable=False),
        Column("host", String(255), nullable=False),
        Column("state", String(8), nullable=False, server_default=PENDING),
        Column("due_at", BigInteger, nullable=False, server_default="0"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("taken", Integer, nullable=False, server_default="0"),
        Column("lease", String(32), nullable=False, server_default=""),
        # Of one that failed: a word that programs may rely on, and a sentence for people. Also why it is to be tried again.
        Column("reason", String(32), nullable=False, server_default=""),
        Column("detail", String(300), nullable=False, server_default=""),
        # Of one that is stored: pixels, and bytes of the picture.
        Column("width", Integer, nullable=False, server_default="0"),
        Column("height", Integer, nullable=False, server_default="0"),
        Column("size", Integer, nullable=False, server_default="0"),
        Column(
            "settled_at", BigInteger, nullable=False, server_default="0"
        ),  # when it was stored or failed; milliseconds since 1970
        Index("images_due", "state", "due_at", "key"),  # in the order in which they are taken
    )


def wanted(urls: Iterable[str]) -> list[dict[str, str]]:
    """The rows of these urls, each once: to be inserted with the write that names them, `ON CONFLICT DO NOTHING`, in this order.

    All who insert several then take their locks in one order.
    """
    return [{"key": key, "url": url, "host": host(url)} for key, url in sorted({image_key(url): url for url in urls}.items())]


@dataclass(frozen=True, slots=True)
class Taken:
    """An image in the hands of one worker. `attempts` and `taken` are those before this time and including it."""

    key: str
    url: str
    host: str
    attempts: int
    taken: int
    lease: str


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to say of an image."""

    state: str
    reason: str
    detail: str


class Images:
    """The rows of one service's table. Everything may be called from any thread, and raises Unavailable while the database is away."""

    def __init__(self, engine: Engine, table: Table, lease: float = LEASE) -> None:
        """`lease` in seconds, as LEASE: a shorter one has images fetched twice that take their time, and does no other harm."""
        self._engine, self._table, self._lease = engine, table, lease

    def want(self, urls: Iterable[str]) -> int:
        """Those of these that are not known are to be fetched; answers how many. Only looks where all are known. For a page of listings."""
        key, rows = self._table.c.key, {row["key"]: row for row in wanted(urls)}
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        keys, added = list(rows), 0
        for start in range(0, len(keys), TOGETHER):
            some = keys[start : start + TOGETHER]
            with self._engine.connect() as connection:
                known = set(connection.scalars(select(key).where(key.in_(some))))
            if new := [rows[each] for each in some if each not in known]:
                with transaction(self._engine) as connection:
                    connection.execute(dialect.insert(self._table).on_conflict_do_nothing(), new)
                added += len(new)
        return added

    def due(self, busy: Sequence[str] = ()) -> bool:
        """Is there one to take, of other hosts than the `busy` ones? Cheap, and takes no lock."""
        with self._engine.connect() as connection:
            return connection.execute(self._next(busy)).first() is not None

    def take(self, busy: Sequence[str] = ()) -> Taken | None:
        """The one that is due next, of other hosts than the `busy` ones: what is new before what is tried again."""
        c = self._table.c
        lease = uuid.uuid4().hex
        taking = (
            update(self._table)
            .where(c.key == self._next(busy).with_for_update(skip_locked=True).scalar_subquery())
            .values(lease=lease, taken=c.taken + 1, due_at=_now(self._lease))
            .returning(c.key, c.url, c.host, c.attempts, c.taken)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(taking).one_or_none()
        return None if row is None else Taken(row.key, row.url, row.host, row.attempts, row.taken, lease)

    def stored(self, taken: Taken, width: int, height: int, size: int) -> bool:
        """Its copies are there. False where another has it by now."""
        return self._say(taken, state=STORED, width=width, height=height, size=size, reason="", detail="", settled_at=_now())

    def failed(self, taken: Taken, reason: str, detail: str) -> bool:
        """It never will be there."""
        values = {"attempts": taken.attempts + 1, "reason": reason, "detail": detail[:300]}
        return self._say(taken, state=FAILED, settled_at=_now(), **values)

    def again(self, taken: Taken, reason: str, detail: str, delay: float) -> bool:
        """To be tried again in `delay` seconds."""
        values = {"attempts": taken.attempts + 1, "reason": reason, "detail": detail[:300]}
        return self._say(taken, due_at=_now(delay), **values)

    def give_back(self, taken: Taken) -> bool:
        """As if it had not been taken: it was not its fault."""
        return self._say(taken, due_at=0)

    def find(self, key: str) -> Known | None:
        c = self._table.c
        with self._engine.connect() as connection:
            row = connection.execute(select(c.state, c.reason, c.detail).where(c.key == key)).one_or_none()
        return None if row is None else Known(row.state, row.reason, row.detail)

    def count(self) -> dict[str, int]:
        """How many there are in each state."""
        state = self._table.c.state
        with self._engine.connect() as connection:
            found = {row[0]: int(row[1]) for row in connection.execute(select(state, func.count()).group_by(state))}
        return {name: found.get(name, 0) for name in STATES}

    def pending(self) -> int:
        """How many wait. Looks at no others, of which there are ever more."""
        waiting = select(func.count()).select_from(self._table).where(self._table.c.state == PENDING)
        with self._engine.connect() as connection:
            return int(connection.execute(waiting).scalar_one())

    def _next(self, busy: Sequence[str]) -> Any:
        c = self._table.c
        next_one = select(c.key).where(c.state == PENDING, c.due_at <= _now()).order_by(c.due_at, c.key).limit(1)
        return next_one.where(c.host.not_in(busy)) if busy else next_one

    def _say(self, taken: Taken, **values: Any) -> bool:
        c = self._table.c
        saying: Update = update(self._table).where(c.key == taken.key, c.lease == taken.lease, c.state == PENDING)
        with transaction(self._engine) as connection:
            return connection.execute(saying.values(lease="", taken=0, **values)).rowcount == 1


def images_part(images: Images) -> Part:
    """Of `status`: how many wait, are there, and never will be."""

    def read() -> tuple[Value, ...]:
        counted: Mapping[str, int] = images.count()
        return tuple(counted[state] for state in STATES)

    return Part("images", STATES, read)


def images_gauges(images: Images) -> Sequence[Reading]:
    """What /metrics shows of them. Raises Unavailable."""
    return [Reading("images_pending", "Images that wait to be fetched", images.pending())]


def _now(later: float = 0.0) -> int:
    return int((time.time() + later) * 1000)
