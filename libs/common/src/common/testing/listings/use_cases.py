"""The use cases where others write at the same time: what is tried again, what is refused, what is answered."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from common.errors import Conflict, Invalid, NotFound, Stale, Unavailable
from common.listings import use_cases
from common.listings.domain import Aggregate, Given, Located
from common.listings.memory import MemoryListings
from common.listings.ports import Clock, KeyReused, Locator, Once, Overtaken, Repeated
from common.listings.use_cases import RETRIES, Import, Imported, Publish, Revise, Withdraw
from common.security.principal import LOCAL
from common.testing.listings.tested import NOW, SHOWING, Body, Tested

URL = "https://a.example/1"


class Noon(Clock):
    def now(self) -> datetime:
        return NOW


class Nowhere(Locator):
    """Knows no place; `refused` are names of listings that cannot be where they say."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.asked = 0

    def locate(self, given: Sequence[Given]) -> Sequence[Located | Invalid | None]:
        self.asked += len(given)
        return [Invalid.field("name", "leads nowhere") if each.name in self.refused else None for each in given]


class Contested(MemoryListings):
    """Lets a rival write just before each write, as long as there are rivals left."""

    def __init__(self, tested: Tested) -> None:
        super().__init__(tested.kind, SHOWING)
        self.rivals: deque[Callable[[], object]] = deque()

    def _rival(self) -> None:
        if self.rivals:
            self.rivals.popleft()()

    def add(self, listing: Aggregate, once: Once | None = None) -> None:
        self._rival()
        super().add(listing, once)

    def put(self, listing: Aggregate) -> None:
        self._rival()
        super().put(listing)

    def remove(self, listing: Aggregate, at: datetime) -> None:
        self._rival()
        super().remove(listing, at)

    def store(
        self, added: Sequence[Aggregate], revised: Sequence[Aggregate], once: Mapping[str, Once] | None = None
    ) -> Sequence[bool]:
        self._rival()
        return super().store(added, revised, once)


class House:
    def __init__(self, tested: Tested) -> None:
        self._tested, self.listings, self.locator = tested, Contested(tested), Nowhere()

    def given(self, **changes: Any) -> Body:
        return {**self._tested.required, "name": "n", "url": URL} | changes

    def publish(self, once: Once | None = None, **changes: Any) -> Aggregate:
        given = self._tested.kind.given.parse(self.given(**changes))
        return Publish(self._tested.kind, self.listings, self.locator, Noon())(given, LOCAL, once)

    def revise(self, id: str, expected: set[int] | None = None, **changes: Any) -> Aggregate:
        def revision(listing: Aggregate) -> Given:
            return replace(listing.given, **changes)  # type: ignore[type-var]

        return Revise(self.listings, self.locator, Noon())(id, revision, LOCAL, expected)

    def withdraw(self, id: str, expected: set[int] | None = None) -> int:
        return Withdraw(self.listings, Noon())(id, LOCAL, expected)

    def load(self, *documents: Body) -> list[tuple[str, str | None]]:
        """(outcome, id) of each."""
        return [(each.outcome, each.id) for each in self.imported(*documents)]

    def imported(self, *documents: Body) -> list[Imported]:
        return Import(self._tested.kind, self.listings, self.locator, Noon())(documents, LOCAL)

    def overtake(self, id: str, times: int = 1) -> None:
        """A rival adds an address of an image between another's read and write."""

        def written() -> None:
            current = self.listings.get(id)
            more = current.given.document()
            more["images"] = [*more["images"], {"url": f"https://a.example/{current.version}.jpg"}]
            again = self._tested.kind.given.restored(more)
            MemoryListings.put(self.listings, current.revised(again, current.located, NOW))

        self.listings.rivals.extend([written] * times)


class Housed:
    @pytest.fixture
    def house(self, tested: Tested, monkeypatch: pytest.MonkeyPatch) -> House:
        monkeypatch.setattr(use_cases, "LONGEST", 0.002)  # nobody is there for whom to wait
        return House(tested)


class TestUseCases(Housed):
    def test_a_published_listing_has_version_1(self, house: House) -> None:
        listing = house.publish()
        assert (listing.version, listing.created_at, listing.updated_at) == (1, NOW, NOW)
        assert house.listings.get(listing.id) == listing
        with pytest.raises(Conflict) as conflict:
            house.publish()
        assert conflict.value.existing_id == listing.id

    def test_a_revision_that_was_overtaken_is_made_anew_from_what_is_there_now(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id, times=3)
        revised = house.revise(listing.id, name="new")
        assert (revised.version, revised.given.name, len(revised.given.images)) == (5, "new", 3)

    def test_a_revision_is_not_tried_for_ever(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id, times=RETRIES)
        with pytest.raises(Unavailable, match="a place among those"):
            house.revise(listing.id, name="new")
        assert house.listings.get(listing.id).given.name == "n"

    def test_under_a_condition_an_overtaken_revision_is_refused_at_once(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id)
        with pytest.raises(Stale) as stale:
            house.revise(listing.id, expected={1}, name="new")
        assert (stale.value.version, house.listings.get(listing.id).version) == (2, 2)
        with pytest.raises(Stale) as stale:
            house.revise(listing.id, expected={1, 3})
        assert stale.value.version == 2

    def test_a_listing_that_goes_while_it_is_revised_is_not_found(self, house: House) -> None:
        listing = house.publish()
        house.listings.rivals.append(lambda: MemoryListings.remove(house.listings, listing, NOW))
        with pytest.raises(NotFound):
            house.revise(listing.id, name="new")

    def test_a_withdrawal_that_was_overtaken_removes_what_is_there_now(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id, times=2)
        assert house.withdraw(listing.id) == 4
        with pytest.raises(NotFound):
            house.withdraw(listing.id)

    def test_a_withdrawal_is_not_tried_for_ever_and_under_a_condition_once(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id, times=RETRIES)
        with pytest.raises(Unavailable, match="a place among those"):
            house.withdraw(listing.id)
        house.overtake(listing.id)
        with pytest.raises(Stale):
            house.withdraw(listing.id, expected={RETRIES + 1})
        assert house.listings.get(listing.id).version == RETRIES + 2

    def test_what_moved_while_it_was_written_is_located_anew(self, house: House) -> None:
        def moved() -> None:
            raise Overtaken

        house.listings.rivals.extend([moved] * 3)
        listing = house.publish()
        assert house.locator.asked == 4
        house.listings.rivals.append(moved)
        assert house.revise(listing.id, expected={1}, name="new").version == 2
        house.listings.rivals.extend([moved] * RETRIES)
        with pytest.raises(Unavailable, match="a place among those"):
            house.revise(listing.id, name="newer")

    def test_where_a_listing_cannot_be_is_refused(self, house: House) -> None:
        listing = house.publish()
        house.locator.refused.add("nowhere")
        for change in (
            partial(house.publish, name="nowhere", url="https://a.example/2"),
            partial(house.revise, listing.id, name="nowhere"),
        ):
            with pytest.raises(Invalid) as refused:
                change()
            assert refused.value.errors[0].name == "name"
        outcomes = house.load(house.given(name="nowhere"), house.given(name="nowhere", url="https://a.example/2"))
        assert outcomes == [("invalid", listing.id), ("invalid", None)]
        assert len(house.listings.events) == 1

    def test_a_creation_that_comes_again_is_the_same_even_where_it_could_not_be_made_any_more(self, house: House) -> None:
        once = Once(b"k", b"b")
        listing = house.publish(once)
        house.locator.refused.add("n")
        with pytest.raises(Repeated) as repeated:
            house.publish(once)
        assert repeated.value.answer["id"] == listing.id
        with pytest.raises(KeyReused):
            house.publish(Once(b"k", b"c"))
        with pytest.raises(Invalid):
            house.publish(Once(b"l", b"b"))


class TestImports(Housed):
    def test_listings_are_found_again_by_their_url(self, house: House, tested: Tested) -> None:
        known = house.publish()
        created, unchanged, updated = house.load(
            house.given(url="https://a.example/2"), house.given(url="HTTPS://A.example/1 "), house.given(name="5")
        )
        assert created[0] == "created"
        assert (unchanged, updated) == (("unchanged", known.id), ("updated", known.id))
        told = [tested.event(what) for what in ("Created", "Created", "Updated")]
        assert [event[0] for event in house.listings.events] == told

    def test_listings_with_one_url_come_one_after_the_other(self, house: House) -> None:
        names = ("n", "2", "2", "other", "3")
        outcomes = house.load(*(house.given(name=each, url=f"{URL}{each}" if each == "other" else URL) for each in names))
        first = outcomes[0][1]
        assert first is not None
        assert [outcome for outcome, _ in outcomes] == ["created", "updated", "unchanged", "created", "updated"]
        assert {outcomes[line][1] for line in (1, 2, 4)} == {first}
        assert (house.listings.get(first).version, house.listings.get(first).given.name) == (3, "3")

    def test_what_was_exported_changes_nothing_when_it_comes_back(self, house: House) -> None:
        listing = house.publish()
        assert house.load(listing.shown()) == [("unchanged", listing.id)]
        assert house.load(listing.shown() | {"name": "2"}) == [("updated", listing.id)]
        assert house.listings.get(listing.id).derived == listing.derived

    def test_an_invalid_listing_leaves_its_neighbours_alone(self, house: House) -> None:
        known = house.publish()
        outcomes = house.imported(
            house.given(url="ftp://a.example"),
            house.given(name="<b></b>"),
            house.given(url="https://a.example/2", images=[{"url": "x"}]),
            house.given(name="9"),
        )
        assert [(each.outcome, each.id) for each in outcomes] == [
            ("invalid", None),
            ("invalid", known.id),
            ("invalid", None),
            ("updated", known.id),
        ]
        problems = [each.problem.errors[0].name for each in outcomes if isinstance(each.problem, Invalid)]
        assert problems == ["url", "name", "images[0].url"]

    def test_a_listing_that_another_published_meanwhile_is_that_one_for_every_line(self, house: House) -> None:
        house.listings.rivals.append(lambda: house.publish(name="7"))
        outcomes = house.load(house.given(), house.given(), house.given(name="<b></b>"), house.given(name="2"))
        (listing,) = house.listings.by_urls([URL]).values()
        assert outcomes == [("updated", listing.id), ("unchanged", listing.id), ("invalid", listing.id), ("updated", listing.id)]
        assert (listing.version, listing.given.name) == (3, "2")

    def test_a_listing_that_another_revised_meanwhile_still_prevails(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id)
        other = house.given(url="https://a.example/2")
        outcomes = house.load(house.given(name="5"), house.given(name="6"), other)
        assert [outcome for outcome, _ in outcomes] == ["updated", "updated", "created"]
        assert (house.listings.get(listing.id).version, house.listings.get(listing.id).given.name) == (4, "6")

    def test_a_listing_that_goes_meanwhile_is_published_anew(self, house: House) -> None:
        listing = house.publish()
        house.listings.rivals.append(lambda: MemoryListings.remove(house.listings, house.listings.get(listing.id), NOW))
        ((outcome, id),) = house.load(house.given(name="5"))
        assert id is not None
        assert (outcome, id != listing.id, house.listings.get(id).version) == ("created", True, 1)

    def test_an_import_gives_up_when_others_never_let_it_write(self, house: House) -> None:
        listing = house.publish()
        house.overtake(listing.id, times=RETRIES)
        with pytest.raises(Unavailable):
            house.load(house.given(name="5"))

    def test_nothing_imports_nothing(self, house: House) -> None:
        assert house.load() == []
