"""What generations of every index do: made, written, read through, swapped and removed while others search and write. On both indices."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.config import load
from common.errors import NotFound, Unavailable, WrongSetting
from search.adapters import elasticsearch_hold
from search.adapters.tantivy_live import TantivyIndex
from search.adapters.tantivy_place import Place
from search.bootstrap import open_generations
from search.config import Config
from search.domain import Applied, Document, Generation, Query
from search.kinds import KINDS, ROOMS, Kind
from search.ports import Generations, Index

Make = Callable[..., Document]
OpenIndex = Callable[[str], Index]
Eventually = Callable[[Callable[[], bool], str], None]
Fill = Callable[..., list[Document]]


@pytest.fixture(params=KINDS.values(), ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


def _swap(generations: Generations, number: int) -> None:
    with generations.hold(generations.mark()):
        generations.swap(number)


def _gone(document: Document) -> Document:
    return replace(document, version=document.version + 1, listing=None)


def test_the_first_generation_is_live(generations: Generations, index: Index, document: Make, eventually: Eventually) -> None:
    assert generations.all() == [Generation(1, True, 0)]
    shown, hidden, gone = document(), document(is_visible=False), _gone(document())
    index.apply([shown, hidden, gone])
    index.record_progress("rooms", datetime(2026, 1, 2, tzinfo=UTC))
    eventually(lambda: generations.all() == [Generation(1, True, 3)], "tombstones are counted, progress is not")


def test_without_an_index_there_are_no_generations(index_url: str, kind: Kind) -> None:
    with pytest.raises(WrongSetting, match="search migrate"):
        open_generations(load(Config, {"INDEX_URL": index_url}), kind).all()


def test_versions_are_those_of_searches_hidden_rooms_and_tombstones_too(
    index: Index, document: Make, eventually: Eventually
) -> None:
    shown, hidden, gone = document(version=3), document(is_visible=False), _gone(document())
    index.apply([shown, hidden, gone])
    expected = {shown.id: 3, hidden.id: 1, gone.id: 2}
    eventually(lambda: index.versions([*expected, document().id]) == expected, "not all versions are seen")
    assert index.versions([]) == {}


def test_a_scan_goes_through_everything_in_order(
    index: Index, document: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.adapters.tantivy_reader._SCANNED", 10)
    monkeypatch.setattr("search.adapters.elasticsearch.PAGE", 10)
    many = [document() for _ in range(40)]
    twins = [replace(document(), id=f"01938b6e-5f0a-7c1e-8a55-0000000000{number:02}") for number in range(25)]  # one upper half
    index.apply([*many, *twins, _gone(many[3]), _gone(document())])
    index.record_progress("rooms", datetime(2026, 1, 2, tzinfo=UTC))
    eventually(lambda: len(index.versions([each.id for each in (*many, *twins)])) == 65, "not all versions are seen")
    scanned = list(index.scan())
    assert [id for id, _ in scanned] == sorted(id for id, _ in scanned)
    assert len(scanned) == 66
    assert dict(scanned)[many[3].id] == 2


def test_an_empty_index_is_scanned_too(index: Index) -> None:
    assert list(index.scan()) == []


def test_the_next_generation_is_filled_beside_the_live_one_and_then_seen_by_everyone(
    generations: Generations, index: Index, index_url: str, open_index: OpenIndex, document: Make, fill: Fill
) -> None:
    old, new = document(), document()
    fill(old)
    reader = open_index(index_url)
    number = generations.make()
    following = generations.open(number)
    assert following.apply([new]) == [Applied()]
    assert (number, index.search(Query()).hits[0].id) == (2, old.id)
    with pytest.raises(NotFound):
        index.get(new.id)

    following.close()
    _swap(generations, number)
    for each in (reader, index):
        assert [hit.id for hit in each.search(Query()).hits] == [new.id]
    assert generations.all() == [Generation(1, False, 1), Generation(2, True, 1)]

    later = document()
    assert index.apply([later]) == [Applied()]  # the writer has followed
    generations.remove(1)
    generations.remove(1)
    assert [each.number for each in generations.all()] == [2]
    assert reader.get(later.id) == index.get(later.id) == later
    assert open_index(index_url).get(new.id) == new


def test_the_one_before_can_be_live_again_and_written(generations: Generations, index: Index, document: Make, fill: Fill) -> None:
    (room,) = fill(document())
    _swap(generations, generations.make())
    assert index.search(Query()).total == 0
    _swap(generations, 1)
    assert index.search(Query()).total == 1
    assert index.apply([replace(room, version=2)]) == [Applied()]
    assert index.get(room.id).version == 2


def test_progress_is_each_generations_own(
    generations: Generations, index: Index, index_url: str, open_index: OpenIndex, eventually: Eventually
) -> None:
    index.record_progress("rooms", datetime(2026, 1, 2, tzinfo=UTC))
    eventually(lambda: len(index.progress()) == 1, "progress is not seen")
    number = generations.make()
    _swap(generations, number)
    assert open_index(index_url).progress() == {}


def test_writers_wait_while_they_are_held_and_searches_do_not(
    generations: Generations, index: Index, document: Make, fill: Fill, eventually: Eventually
) -> None:
    (before,) = fill(document())
    mark = generations.mark()
    since = document()
    index.apply([since])
    with generations.hold(mark) as changes:
        for _ in range(2):
            with pytest.raises(Unavailable):
                index.apply([document()])
            with pytest.raises(Unavailable):
                index.record_progress("rooms", datetime(2026, 1, 2, tzinfo=UTC))
        assert since.id in dict(changes)
        assert index.search(Query()).total == 2
    assert index.apply([document()]) == [Applied()]
    eventually(lambda: index.search(Query()).total == 3, "what was written after the hold is not found")
    assert index.versions([before.id]) == {before.id: 1}


def test_nothing_that_was_written_slips_through_a_hold(generations: Generations, index: Index, document: Make) -> None:
    """What a writer was told to be applied before the swap is among the changes; what comes after is in the next generation."""
    mark, number = generations.mark(), generations.make()
    applied: list[str] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            room = document()
            try:
                index.apply([room])
            except Unavailable:
                continue
            applied.append(room.id)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(applied) < 5:
            stop.wait(0.01)
        with generations.hold(mark) as changes:
            seen = {id for id, _ in changes}
            generations.swap(number)
        after = len(applied)
        while len(applied) < after + 5:
            stop.wait(0.01)
    finally:
        stop.set()
        writer.join()
    for id in applied:
        assert id in seen or index.get(id), f"{id} is in neither"


def test_a_swap_takes_a_hold(generations: Generations, index: Index) -> None:
    number = generations.make()
    with pytest.raises(Unavailable):
        generations.swap(number)
    assert [each.live for each in generations.all()] == [True, False]


def test_the_live_generation_can_be_written_beside_the_process_that_writes_it(
    generations: Generations, index: Index, document: Make
) -> None:
    mine, of_a_guest = document(), document()
    index.apply([mine])
    guest = generations.open(1)
    assert guest.apply([of_a_guest, mine]) == [Applied()] * 2
    assert index.apply([replace(mine, version=2), replace(of_a_guest, version=1)]) == [Applied()] * 2
    assert (index.get(mine.id).version, index.get(of_a_guest.id)) == (2, of_a_guest)


def test_who_died_holding_writers_holds_them_no_longer_than_their_patience(
    elasticsearch_url: str, kind: Kind, open_index: OpenIndex, document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch_hold, "LONGEST", 0.0)
    index = open_index(elasticsearch_url)
    index.ensure(writing=True)
    generations = open_generations(load(Config, {"INDEX_URL": elasticsearch_url}), kind)
    number = generations.make()
    with generations.hold(generations.mark()):
        with pytest.raises(Unavailable):
            index.apply([document()])
        assert index.apply([document()]) == [Applied()]  # it has lost patience
        with pytest.raises(Unavailable, match="not held any more"):  # so it is too late
            generations.swap(number)
    assert index.apply([document()]) == [Applied()]


def test_what_a_dead_process_left_half_done_is_tidied(
    generations: Generations, index: Index, index_url: str, kind: Kind, document: Make
) -> None:
    hold = generations.hold(generations.mark())
    hold.__enter__()
    if index_url.startswith("http"):  # the other hold is a lock, and goes with its process
        open_generations(load(Config, {"INDEX_URL": index_url}), kind).tidy()
        assert index.apply([document()]) == [Applied()]
    hold.__exit__(None, None, None)
    generations.tidy()
    assert index.apply([document()]) == [Applied()]


def test_a_file_that_names_no_generation_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("rooms-g0\n")
    with pytest.raises(WrongSetting, match="names no generation"):
        TantivyIndex(f"tantivy:///{tmp_path}", ROOMS).search(Query())
    (tmp_path / "live").unlink()
    assert Place(ROOMS, tmp_path).live() is None
