"""A rebuild within one process: what it brings along, what it leaves when it fails, and what becomes of its queue."""

import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.errors import Unavailable, WrongSetting
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.consumer import Consumer
from common.events.envelope import to_message
from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import ROOMS, SEARCH_ROOMS, TOPOLOGY, Queue
from common.testing.waiting import eventually
from search.adapters.backlog import QueueBacklog, beside
from search.adapters.tantivy_generations import TantivyGenerations
from search.bootstrap import SystemClock
from search.domain import Applied, Document, Query
from search.entrypoints.consumer import IndexListings
from search.kinds import ROOMS as KIND
from search.ports import Backlog, Exports, Generations, Index
from search.rebuild import NothingOlder, Rebuild, Step, TooFew
from search.use_cases import ApplyChanges

Make = Callable[..., Document]
NOISE = Message(id="noise", routing_key="RoomCreated", body=b"\xc3\x01garbage!", headers={}, timestamp=0)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Kept(Exports):
    """What is kept, in memory."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}

    def keep(self, *documents: Document) -> None:
        self.documents |= {each.id: each for each in documents}

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        return iter([self.documents[id] for id in sorted(self.documents) if ids is None or id in ids])


@dataclass
class Meanwhile:
    """What happens when a rebuild comes to a step, before anything of that step has."""

    happens: dict[Step, Callable[[], object]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def __call__(self, step: Step, _done: int, _total: int | None) -> None:
        if step not in self.steps:
            self.steps.append(step)
            self.happens.get(step, lambda: None)()


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with closing(connect(broker_url, "test")) as broker:
        broker.declare(TOPOLOGY)
        yield broker


@pytest.fixture
def backlog(broker: Broker) -> Backlog:
    codec = Codec(Catalogue.load())
    return QueueBacklog(
        broker,
        SEARCH_ROOMS,
        lambda queue, index: Consumer(broker, queue, codec, IndexListings(KIND, ApplyChanges(index), SystemClock()), batch=10),
    )


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def meanwhile() -> Meanwhile:
    return Meanwhile()


@pytest.fixture
def rebuild(generations: Generations, kept: Kept, embedded_broker_url: str, meanwhile: Meanwhile) -> Iterator[Rebuild]:
    with closing(connect(embedded_broker_url, "test")) as broker:
        broker.declare(TOPOLOGY)
        codec = Codec(Catalogue.load())

        def consumer(queue: Queue, index: Index) -> Consumer:
            return Consumer(broker, queue, codec, IndexListings(KIND, ApplyChanges(index), SystemClock()), batch=10)

        yield Rebuild(KIND, generations, kept, QueueBacklog(broker, SEARCH_ROOMS, consumer), meanwhile)


def _gone(document: Document) -> Document:
    return replace(document, version=document.version + 1, listing=None)


def _next(document: Document) -> Document:
    return replace(document, version=document.version + 1)


def _numbers(generations: Generations) -> list[tuple[int, bool]]:
    return [(each.number, each.live) for each in generations.all()]


def _deletion(document: Document) -> Message:
    data = {"id": document.id, "version": document.version + 1, "url": "https://a.example/", "deleted_at": AT}
    return to_message(
        id=f"deletion of {document.id}", source="/rooms", type="RoomDeleted", subject=document.id, sequence=document.version + 1,
        time=AT, dataschema="", traceparent="", request_id="", body=Codec(Catalogue.load()).encode("RoomDeleted", data),
    )  # fmt: skip


def _publish(broker: Broker, *messages: Message) -> None:
    with closing(broker.publisher()) as publisher:
        assert all(publisher.publish(ROOMS, messages, 10))


def test_the_next_generation_has_what_is_kept_and_nothing_else(
    rebuild: Rebuild, generations: Generations, kept: Kept, index: Index, document: Make
) -> None:
    room, hidden, gone, phantom = document(), document(is_visible=False), _gone(document()), document()
    kept.keep(room, hidden, gone)
    index.apply([room, phantom])
    index.record_progress("rooms", AT)
    result = rebuild.forward(keep=False)
    assert (result.before, result.live, result.loaded, result.left_count) == (1, 2, 3, 0)
    assert [hit.id for hit in index.search(Query()).hits] == [room.id]
    assert dict(index.scan()) == {room.id: 1, hidden.id: 1, gone.id: 2}
    assert _numbers(generations) == [(2, True)]
    eventually(lambda: index.progress() == {"rooms": AT})  # it is as fresh as the one before
    assert index.apply([gone]) == [Applied()]


def test_what_happens_while_it_runs_is_in_the_next_generation(
    rebuild: Rebuild, kept: Kept, index: Index, document: Make, meanwhile: Meanwhile
) -> None:
    """A change that only the queue brings, one that only the index has been given when writers are held, and a phantom there."""
    deleted, changed, phantom = document(), document(), document()
    kept.keep(deleted, changed)
    index.apply([deleted, changed])

    def at_the_last_moment() -> None:
        kept.keep(_next(changed))
        index.apply([_next(changed), phantom])

    broker = rebuild.backlog._broker  # type: ignore[attr-defined]
    meanwhile.happens = {Step.LOAD: lambda: _publish(broker, _deletion(deleted)), Step.HOLD: at_the_last_moment}
    result = rebuild.forward(keep=False)
    expected = {deleted.id: 2, changed.id: 2}
    eventually(lambda: dict(index.scan()) in (expected, {**expected, deleted.id: 1}))
    if dict(index.scan()) != expected:  # the deletion was still on its way: it has been handed over
        assert [each.id for each in broker.browse(SEARCH_ROOMS.name, 10)].count(_deletion(deleted).id) == 2
    assert result.left_count == 0


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.HAND_OVER, Step.REMOVE)])
def test_what_ends_it_early_leaves_the_live_generation_and_nothing_else(
    rebuild: Rebuild, generations: Generations, kept: Kept, index: Index, document: Make, meanwhile: Meanwhile, step: Step
) -> None:
    room = document()
    kept.keep(room)
    index.apply([room])

    def fail() -> None:
        raise KeyboardInterrupt

    meanwhile.happens = {step: fail}
    with pytest.raises(KeyboardInterrupt):
        rebuild.forward(keep=False)
    assert _numbers(generations) == [(1, True)]
    assert not _takes(rebuild.backlog._broker, beside(SEARCH_ROOMS, 2).name)  # type: ignore[attr-defined]
    assert index.apply([_next(room)]) == [Applied()]
    meanwhile.happens = {}
    kept.keep(_next(room))
    assert rebuild.forward(keep=False).live == 2


def _takes(broker: Broker, queue: str) -> bool:
    with closing(broker.publisher()) as publisher:
        return publisher.publish("", [Message("probe", queue, b"", {}, 0)], 10)[0]


def test_a_run_that_no_longer_holds_its_name_swaps_nothing(
    rebuild: Rebuild, generations: Generations, kept: Kept, document: Make
) -> None:
    def lost() -> None:
        raise Unavailable("broker", "the connection was lost")

    kept.keep(document())
    with pytest.raises(Unavailable):
        replace(rebuild, check=lost).forward(keep=False)
    assert _numbers(generations) == [(1, True)]


def test_a_generation_that_refuses_what_the_live_one_has_does_not_take_over(
    rebuild: Rebuild, generations: Generations, kept: Kept, index: Index, document: Make, meanwhile: Meanwhile
) -> None:
    room = document()
    meanwhile.happens = {Step.HOLD: lambda: (index.apply([room]), kept.keep(replace(room, listing={"is_visible": True})))}
    with pytest.raises(TooFew, match="the live generation stays: the next one refuses 1"):
        rebuild.forward(keep=False)
    assert index.get(room.id) == room
    assert _numbers(generations) == [(1, True)]


def test_what_no_generation_takes_is_told_and_holds_up_nobody(
    rebuild: Rebuild, kept: Kept, document: Make, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = document(coordinates={"lat": 91, "lon": 0})
    kept.keep(document(), nowhere)
    caplog.set_level(logging.WARNING)
    result = rebuild.forward(keep=False)
    assert (result.live, result.left_count, result.left[0].id) == (2, 1, nowhere.id)
    assert "the index refuses 1 of 2" in caplog.text


def test_the_way_back_brings_the_older_generation_up_to_date_first(
    rebuild: Rebuild, generations: Generations, kept: Kept, index: Index, document: Make, meanwhile: Meanwhile
) -> None:
    changed, gone = document(), document()
    kept.keep(changed, gone)
    index.apply([changed, gone])
    rebuild.forward(keep=True)
    assert _numbers(generations) == [(1, False), (2, True)]
    new = document()
    kept.keep(_next(changed), _gone(gone), new)
    index.apply([_next(changed), _gone(gone), new])
    result = rebuild.back(keep=False)
    assert (result.before, result.live) == (2, 1)
    assert dict(index.scan()) == {changed.id: 2, gone.id: 2, new.id: 1}
    assert _numbers(generations) == [(1, True)]
    with pytest.raises(NothingOlder, match="only `rebuild --keep` leaves one"):
        rebuild.back(keep=False)


def test_an_index_that_cannot_be_opened_is_rebuilt(
    tantivy_url: str, open_index: Callable[[str], Index], kept: Kept, backlog: Backlog, document: Make
) -> None:
    """Damaged, or of a release with other fields."""
    first = open_index(tantivy_url)
    first.ensure(writing=True)
    first.close()
    folder = Path(tantivy_url.removeprefix("tantivy:///"))
    (folder / "rooms-g1/meta.json").write_text("{")
    with pytest.raises(WrongSetting):
        open_index(tantivy_url).ensure(writing=True)
    room = document()
    kept.keep(room)
    Rebuild(KIND, TantivyGenerations(tantivy_url, KIND), kept, backlog, Meanwhile()).forward(keep=False)
    again = open_index(tantivy_url)
    again.ensure(writing=True)
    assert again.get(room.id) == room
    again.close()

    shutil.rmtree(folder / "rooms-g2")  # and one that was lost begins anew, empty
    empty = open_index(tantivy_url)
    empty.ensure(writing=True)
    assert empty.count() == 0
    Rebuild(KIND, TantivyGenerations(tantivy_url, KIND), kept, backlog, Meanwhile()).forward(keep=False)
    assert empty.get(room.id) == room


def test_only_the_generation_before_is_kept(rebuild: Rebuild, generations: Generations) -> None:
    for _ in range(3):
        rebuild.forward(keep=True)
    assert _numbers(generations) == [(3, False), (4, True)]


def test_what_the_backlog_kept_is_drained_and_its_rest_handed_over(
    backlog: Backlog, broker: Broker, tantivy_url: str, open_index: Callable[[str], Index], document: Make
) -> None:
    """Nothing is lost on the way: neither what was not applied yet, nor what nobody could decode."""
    index = open_index(tantivy_url)
    index.ensure(writing=True)
    first, second = document(), document()
    backlog.begin(2)
    _publish(broker, _deletion(first), NOISE)
    with backlog.draining(2, index):
        eventually(lambda: index.versions([first.id]) == {first.id: 2})
        eventually(lambda: broker.depth(beside(SEARCH_ROOMS, 2).dead) == 1)
    _publish(broker, _deletion(second))
    eventually(lambda: backlog.waiting(2) == 1)
    before = broker.depth(SEARCH_ROOMS.name)

    backlog.end(2, forget=False)
    eventually(lambda: broker.depth(SEARCH_ROOMS.name) == before + 1)
    (dead,) = broker.browse(SEARCH_ROOMS.dead, 10)
    assert (dead.id, dead.body, dead.headers["dead_reason"]) == ("noise", NOISE.body, "unknown-schema")
    handed = broker.browse(SEARCH_ROOMS.name, 10)[-1]
    assert (handed.id, handed.routing_key) == (_deletion(second).id, "RoomDeleted")
    assert not _takes(broker, beside(SEARCH_ROOMS, 2).name)
    backlog.end(2, forget=False)


def test_a_forgotten_backlog_hands_nothing_over(backlog: Backlog, broker: Broker, document: Make) -> None:
    backlog.begin(2)
    _publish(broker, _deletion(document()), NOISE)
    eventually(lambda: backlog.waiting(2) == 2)
    before = broker.depth(SEARCH_ROOMS.name)
    backlog.end(2, forget=True)
    assert not _takes(broker, beside(SEARCH_ROOMS, 2).name)
    assert (broker.depth(SEARCH_ROOMS.name), broker.depth(SEARCH_ROOMS.dead)) == (before, 0)
    backlog.end(2, forget=True)
