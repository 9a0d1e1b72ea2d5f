"""What every index does: versions, tombstones, refusals, progress. Each kind of listings, once on Tantivy, once on Elasticsearch."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.errors import NotFound
from search.domain import Applied, Document, Query, Refused
from search.geo import Circle, Point
from search.kinds import ITEMS, KINDS, ROOMS, Kind
from search.ports import Index
from search.text import words

Make = Callable[..., Document]
Eventually = Callable[[Callable[[], bool], str], None]
Fill = Callable[..., list[Document]]


@pytest.fixture(params=KINDS.values(), ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


def _next(document: Document, versions: int = 1, **changes: Any) -> Document:
    version = document.version + versions
    return replace(document, version=version, listing={**(document.listing or {}), **changes, "version": version})


def _deleted(document: Document) -> Document:
    return replace(document, version=document.version + 1, listing=None)


def test_what_was_applied_is_read_back_and_found(index: Index, document: Make, fill: Fill) -> None:
    (attic,) = fill(document(name="Attic"))
    assert index.get(attic.id) == attic
    (hit,) = index.search(Query()).hits
    assert (hit.id, hit.version, hit.listing) == (attic.id, 1, attic.listing)
    assert index.count() == 1


def test_stale_and_duplicate_documents_change_nothing(index: Index, document: Make) -> None:
    first = document(name="old")
    second = _next(first, name="new")
    assert index.apply([second]) == [Applied()]
    assert index.apply([first, second, replace(second, listing=dict(first.listing or {}))]) == [Applied()] * 3
    assert index.get(first.id) == second


def test_the_order_of_arrival_does_not_matter(index: Index, document: Make) -> None:
    chance = random.Random(1)
    histories = []
    for _ in range(30):
        history = [document()]
        while len(history) < 6:
            history.append(_next(history[-1], name=f"state {len(history)}"))
        histories.append([*history, _deleted(history[-1])] if chance.random() < 0.3 else history)
    events = [each for history in histories for each in history] * 2
    chance.shuffle(events)
    while events:
        batch, events = events[:50], events[50:]
        assert index.apply(batch) == [Applied()] * len(batch)
    for history in histories:
        last = history[-1]
        if last.deleted:
            with pytest.raises(NotFound):
                index.get(last.id)
        else:
            assert index.get(last.id) == last


def test_what_was_deleted_stays_deleted(index: Index, document: Make, fill: Fill, eventually: Eventually) -> None:
    alive, gone, never_seen = [*fill(document(), document()), document()]
    assert index.apply([_deleted(gone), _deleted(never_seen)]) == [Applied()] * 2
    for late in (gone, _next(gone), replace(never_seen, version=2)):  # older, and of the tombstone's own version
        assert index.apply([late]) == [Applied()]
    eventually(lambda: index.search(Query()).total == 1, "the deleted room is still found")
    assert [hit.id for hit in index.search(Query()).hits] == [alive.id]
    for each in (gone, never_seen):
        with pytest.raises(NotFound):
            index.get(each.id)
    eventually(lambda: index.count() == 1, "tombstones are counted")


def test_a_hidden_room_is_kept_and_not_found(index: Index, document: Make, fill: Fill, eventually: Eventually) -> None:
    (room,) = fill(document())
    hidden = _next(room, is_visible=False)
    index.apply([hidden])
    eventually(lambda: index.search(Query()).total == 0, "the hidden room is still found")
    assert index.get(room.id) == hidden
    shown = _next(hidden, is_visible=True)
    fill(shown)
    assert index.search(Query()).hits[0].version == 3


def test_an_unknown_id_is_not_found(index: Index, document: Make) -> None:
    with pytest.raises(NotFound):
        index.get(document().id)


@pytest.mark.parametrize(
    "long_text", ["x" * 20_000, "é" * 20_000, "東" * 20_000, "x👍" * 10_000, "word " * 4_000, "a1 " * 6_666 + "zz"]
)
def test_the_largest_listing_is_indexed_and_found(kind: Kind, index: Index, document: Make, fill: Fill, long_text: str) -> None:
    own = {"monthly_price": 10**12, "property_size": 1_000_000.0} if kind is ROOMS else {"category": "c" * 100}
    fill(
        document(
            name="größter " + "𝔘" * 192,
            description=long_text,
            price=10**12,
            **own,
            provider="p" * 100,
            url="https://a.example/" + "u" * 2030,
            area={
                "id": "i" * 200,
                "name": "東" * 200,
                "city": "ß" * 200,
                "country": "👍" * 200,
                "coordinates": {"lat": 90.0, "lon": 180.0},
            },
            coordinates={"lat": 90.0, "lon": 180.0},
            images=[{"url": "https://a.example/" + str(i) * 1015} for i in range(50)],
        )
    )
    longest = words(long_text)[0].folded  # as much of it as counts
    found = index.search(
        Query(words=words(f"grosster {longest}"), facets=("provider", "city", "price"), filters={"city": ("ss" * 200,)})
    )
    assert found.total == 1
    assert found.facets["price"][0].value == 10**12


@pytest.mark.parametrize(("lat", "lon"), [(90, 180), (-90, -180), (90, -180), (-90, 180), (0, 0)])
def test_the_corners_of_the_earth_can_be_indexed_and_found(index: Index, document: Make, fill: Fill, lat: int, lon: int) -> None:
    fill(document(coordinates={"lat": lat, "lon": lon}))
    assert index.search(Query(near=Circle(Point(lat, lon), 1.0))).total == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"coordinates": {"lat": 90.5, "lon": 0.0}},
        {"coordinates": {"lat": 0.0, "lon": -181.0}},
        {"price": 2**63},
        {"price": -1},
        {"version": 0},
        {"version": 2**63},
        {"id": "no-uuid"},
        {"id": "x" * 600},
        {"provider": "p" * 40_000},
        {"created_at": "yesterday"},
        {"name": None},
    ],
    ids=str,
)
def test_a_document_that_cannot_be_indexed_is_refused_alone(index: Index, document: Make, changes: dict[str, Any]) -> None:
    good = [document() for _ in range(4)]
    outcomes = index.apply([*good[:2], document(**changes), *good[2:]])
    assert [type(each) for each in outcomes] == [Applied, Applied, Refused, Applied, Applied]
    assert isinstance(outcomes[2], Refused)
    assert outcomes[2].reason == "invalid"
    assert all(index.get(each.id) == each for each in good)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (ROOMS, {"property_size": float("nan")}),
        (ROOMS, {"monthly_price": -1}),
        (ROOMS, {"area": "Berlin"}),
        (ITEMS, {"room": "Berlin"}),
        (ITEMS, {"category": 7}),
        (ITEMS, {"category": "c" * 40_000}),
    ],
    ids=str,
)
def test_what_only_one_kind_has_is_judged_too(kind: Kind, index: Index, document: Make, changes: dict[str, Any]) -> None:
    good = document()
    outcomes = index.apply([document(**changes), good])
    assert [type(each) for each in outcomes] == [Refused, Applied]


def test_nothing_is_applied_at_once(index: Index) -> None:
    assert list(index.apply([])) == []


def test_progress_goes_forward_only_by_source(index: Index, eventually: Eventually) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert index.progress() == {}
    index.record_progress("rooms", at)
    index.record_progress("items", at + timedelta(seconds=1))
    index.record_progress("rooms", at - timedelta(hours=1))
    index.record_progress("rooms", at)
    expected = {"rooms": at, "items": at + timedelta(seconds=1)}
    eventually(lambda: index.progress() == expected, "progress is not seen")
    index.record_progress("rooms", at + timedelta(microseconds=1))
    eventually(lambda: index.progress()["rooms"] == at + timedelta(microseconds=1), "progress is not seen")


def test_progress_is_no_room(index: Index, fill: Fill, document: Make, eventually: Eventually) -> None:
    fill(document())
    index.record_progress("rooms", datetime(2026, 1, 1, tzinfo=UTC))
    eventually(lambda: len(index.progress()) == 1, "progress is not seen")
    assert index.count() == 1
    assert index.search(Query()).total == 1
    with pytest.raises(NotFound):
        index.get("progress:rooms")


def test_making_the_index_exist_twice_keeps_what_is_in_it(index: Index, document: Make, fill: Fill) -> None:
    fill(document())
    index.ensure(writing=True)
    index.ensure(writing=False)
    assert index.count() == 1


def test_threads_may_write_and_read_at_once(index: Index, document: Make) -> None:
    histories = [[document()] for _ in range(5)]
    for history in histories:
        while len(history) < 20:
            history.append(_next(history[-1]))
    events = [each for history in histories for each in history]
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        mine = events[:]
        random.Random(seed).shuffle(mine)
        try:
            for start in range(0, len(mine), 20):
                index.apply(mine[start : start + 20])
                assert index.search(Query()).total <= len(histories)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [index.get(history[-1].id).version for history in histories] == [20] * 5


def test_an_index_that_is_there_answers(index: Index) -> None:
    index.ping()


def test_versions_are_those_that_searches_see(index: Index, document: Make, eventually: Eventually) -> None:
    visible, hidden, gone, unknown = document(), document(is_visible=False), document(), document()
    index.apply([visible, hidden, _deleted(gone)])
    ids = [each.id for each in (visible, hidden, gone, unknown)]
    eventually(lambda: index.versions(ids) == {visible.id: 1, hidden.id: 1, gone.id: 2}, "not every version is seen")
    index.apply([_next(visible, 5, name="new")])
    eventually(lambda: index.versions([visible.id]) == {visible.id: 6}, "the new version is not seen")
    assert index.search(Query()).hits[0].version == 6
    assert index.versions([]) == {}


def test_what_versions_promise_the_next_search_finds(index: Index, document: Make) -> None:
    for _ in range(20):
        made = document(name="Promised")
        index.apply([made])
        while made.id not in index.versions([made.id]):
            pass
        assert made.id in {hit.id for hit in index.search(Query(limit=100)).hits}


def test_thousands_of_versions_are_told_at_once(index: Index, document: Make, fill: Fill) -> None:
    made = fill(*(document() for _ in range(2_500)))
    assert index.versions([each.id for each in made]) == {each.id: 1 for each in made}


def test_an_entry_is_read_back_as_it_was_applied_a_tombstone_too(index: Index, document: Make) -> None:
    event = {"event_id": "e-1", "event_time": "2026-01-02T03:04:05Z", "attempts": 2, "deliveries": 3}
    living = replace(document(), **event)
    gone = _deleted(replace(document(), **event))
    index.apply([living, gone])
    assert [index.entry(living.id), index.entry(gone.id)] == [living, gone]
    with pytest.raises(NotFound):
        index.entry(document().id)
