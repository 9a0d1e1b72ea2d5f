"""The audit finds each kind of difference that is planted, mends what can be mended, and is not misled by writes under way."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import pytest

from common.errors import Unavailable
from common.listings.audit import Difference, Kind
from search.adapters.elasticsearch import ElasticsearchIndex
from search.audit import audit
from search.domain import Applied, Document
from search.kinds import ROOMS
from search.ports import Exports, Generations, Index

Make = Callable[..., Document]
Eventually = Callable[[Callable[[], bool], str], None]


class Kept(Exports):
    """What is kept, in memory; `before` is called before each answer."""

    def __init__(self, *documents: Document) -> None:
        self.documents = {each.id: each for each in documents}
        self.before: Callable[[Collection[str] | None], None] = lambda _: None

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        self.before(ids)
        for id in sorted(self.documents):
            if ids is None or id in ids:
                yield self.documents[id]


def _gone(document: Document, version: int = 2) -> Document:
    return replace(document, version=version, listing=None)


def _next(document: Document) -> Document:
    return replace(document, version=document.version + 1)


@pytest.fixture
def planted(index: Index, document: Make, eventually: Eventually) -> tuple[Kept, list[Difference]]:
    """Keeps and indexes what differs in every way, among much that agrees; and what the audit should say."""
    agreed = [document() for _ in range(30)] + [document(is_visible=False), _gone(document())]
    missing, hidden, behind, alive, unburied, ahead, phantom = (document() for _ in range(7))
    kept = Kept(*agreed, missing, hidden, _next(_next(behind)), _gone(alive, 3), _gone(unburied), ahead)
    indexed = [*agreed, behind, alive, _next(ahead), phantom]
    assert index.apply(indexed) == [Applied()] * len(indexed)
    eventually(lambda: len(index.versions([each.id for each in indexed])) == len(indexed), "what was applied is not seen")
    return kept, [
        Difference(missing.id, Kind.MISSING, 1, None),
        Difference(hidden.id, Kind.MISSING, 1, None),
        Difference(behind.id, Kind.BEHIND, 3, 1),
        Difference(alive.id, Kind.ALIVE, 3, 1),
        Difference(unburied.id, Kind.MISSING, 2, None),
        Difference(ahead.id, Kind.AHEAD, 1, 2),
        Difference(phantom.id, Kind.PHANTOM, None, 1),
    ]


def _sorted(differences: list[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda each: each.id)


def test_each_kind_of_difference_is_found(index: Index, planted: tuple[Kept, list[Difference]]) -> None:
    kept, expected = planted
    compared: list[int] = []
    found = list(audit(index, kept, patience=(0.01,))(report=compared.append))
    assert _sorted(found) == _sorted(expected)
    assert compared[-1] == len(kept.documents) + 1  # and the phantom


def test_what_can_be_mended_is_mended(
    generations: Generations, index: Index, planted: tuple[Kept, list[Difference]], eventually: Eventually
) -> None:
    kept, expected = planted
    beyond = {Kind.AHEAD, Kind.PHANTOM}
    told = list(audit(generations.open(1), kept, patience=())(mend=True))
    assert _sorted(told) == _sorted([replace(each, mended=each.kind not in beyond) for each in expected])
    mended = [each.id for each in expected if each.kind not in beyond]
    versions = {id: kept.documents[id].version for id in mended}
    eventually(lambda: index.versions(mended) == versions, "what was mended is not seen")
    left = list(audit(index, kept, patience=())())
    assert _sorted(left) == _sorted([each for each in expected if each.kind in beyond])


def test_two_that_agree_have_no_differences(index: Index, document: Make, eventually: Eventually) -> None:
    both = [document() for _ in range(3)]
    index.apply(both)
    eventually(lambda: len(index.versions([each.id for each in both])) == 3, "what was applied is not seen")
    assert list(audit(index, Kept(*both))()) == []
    assert list(audit(index, Kept())(mend=True)) != []


def test_many_are_compared_in_portions(
    index: Index, document: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.listings.audit._SUSPECTS", 10)
    monkeypatch.setattr("common.listings.audit._PORTION", 3)
    kept = Kept(*(document() for _ in range(35)))
    found = list(audit(index, kept, patience=())())
    assert {each.id for each in found} == set(kept.documents)


def test_what_arrives_while_it_looks_again_is_no_difference(index: Index, document: Make, eventually: Eventually) -> None:
    """An event on its way, a room that changes all the time, and one that is created between the two looks."""
    late, restless, new = document(), document(), document()
    index.apply([restless])
    eventually(lambda: index.versions([restless.id]) == {restless.id: 1}, "what was applied is not seen")
    kept = Kept(late, _next(restless))
    looks = 0

    def meanwhile(ids: Collection[str] | None) -> None:
        nonlocal looks
        if ids is None:
            return
        looks += 1
        index.apply([late, kept.documents[restless.id], new])
        kept.documents |= {restless.id: _next(kept.documents[restless.id]), new.id: new}

    kept.before = meanwhile
    assert list(audit(index, kept, patience=(0.3, 0.5, 1.0))()) == []
    assert looks > 1


def test_what_the_index_refuses_is_left_with_its_reason(index: Index, document: Make) -> None:
    nowhere = document(coordinates={"lat": 91, "lon": 0})
    (told,) = audit(index, Kept(nowhere), patience=())(mend=True)
    assert (told.kind, told.mended) == (Kind.MISSING, False)
    assert "latitude 91" in told.refused


def test_an_export_out_of_order_is_trouble_and_no_flood_of_differences(index: Index, document: Make) -> None:
    class Shuffled(Kept):
        def __call__(self, ids: Collection[str] | None = None) -> Iterator[Document]:
            return reversed(list(super().__call__(ids)))

    with pytest.raises(Unavailable, match="not ordered by id"):
        list(audit(index, Shuffled(document(), document(), document()))())


def test_an_index_that_is_away_is_trouble() -> None:
    away = ElasticsearchIndex("http://127.0.0.1:1/", ROOMS)
    with pytest.raises(Unavailable):
        list(audit(away, Kept())())
    away.close()
