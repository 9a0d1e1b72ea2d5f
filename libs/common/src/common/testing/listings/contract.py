"""What every adapter of the port `Listings` does: in memory, on SQLite, on PostgreSQL."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils import uuid7

from common.errors import Conflict, NotFound, Stale
from common.listings.domain import Aggregate
from common.listings.ports import Kept, KeyReused, Listings, Once, Origin, Repeated, Restored, Summary
from common.observability.context import bind
from common.testing.listings.repository import Shelf
from common.testing.listings.tested import LATER, MakeListing, Tested, kept, tombstone


def named(listing: Aggregate, name: str) -> Aggregate:
    """The next version, which has another name."""
    return moved(listing, name=name)


def moved(listing: Aggregate, **changes: Any) -> Aggregate:
    return listing.revised(replace(listing.given, **changes), None, LATER)  # type: ignore[type-var]


def url_of(listing: Aggregate) -> str:
    assert listing.given.url is not None
    return listing.given.url


def all_kept(shelf: Shelf) -> list[Kept]:
    return list(shelf.listings.kept(None, None, 1000))


class TestRepository:
    def test_what_was_added_reads_back_the_same(self, shelf: Shelf, tested: Tested, a_listing: MakeListing) -> None:
        listing, bare = a_listing(), a_listing(**dict.fromkeys(tested.optional), images=None)
        for each in (listing, replace(bare, located=None, owner="https://issuer.example|a")):
            shelf.listings.add(each)
            assert shelf.listings.get(each.id) == each
            assert shelf.listings.by_urls([url_of(each)]) == {each.given.url: each}
        with pytest.raises(NotFound):
            shelf.listings.get(str(uuid7()))

    def test_an_url_is_unique_among_the_living_and_free_after_a_delete(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing = a_listing()
        shelf.listings.add(listing)
        twin = a_listing(url=listing.given.url)
        with pytest.raises(Conflict) as conflict:
            shelf.listings.add(twin)
        assert (conflict.value.field, conflict.value.existing_id) == ("url", listing.id)
        assert len(shelf.events()) == 1

        shelf.listings.remove(listing, LATER)
        shelf.listings.add(twin)
        assert shelf.events()[1:] == [("Deleted", listing.id, 2), ("Created", twin.id, 1)]
        with pytest.raises(NotFound):
            shelf.listings.get(listing.id)
        with pytest.raises(NotFound):
            shelf.listings.remove(listing, LATER)

    def test_a_stale_put_changes_nothing(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing = a_listing()
        shelf.listings.add(listing)
        second = listing.revised(replace(listing.given, name="1"), listing.located, LATER)  # type: ignore[type-var]
        shelf.listings.put(second)
        with pytest.raises(Stale) as stale:
            shelf.listings.put(named(listing, "2"))
        assert stale.value.version == 2
        assert shelf.listings.get(listing.id) == second
        assert shelf.events() == [("Created", listing.id, 1), ("Updated", listing.id, 2)]

    def test_a_put_may_not_take_anothers_url(self, shelf: Shelf, a_listing: MakeListing) -> None:
        one, other = a_listing(), a_listing()
        shelf.listings.add(one)
        shelf.listings.add(other)
        with pytest.raises(Conflict) as conflict:
            shelf.listings.put(moved(one, url=other.given.url))
        assert conflict.value.existing_id == other.id
        assert len(shelf.events()) == 2

    def test_of_many_writers_each_version_has_one(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing = a_listing()
        shelf.listings.add(listing)
        written = []

        def write(number: int) -> None:
            while True:
                current = shelf.listings.get(listing.id)
                try:
                    shelf.listings.put(named(current, str(number)))
                except Stale:
                    continue
                written.append(number)
                return

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(24)))
        assert sorted(written) == list(range(24))
        assert [sequence for _, _, sequence in shelf.events()] == list(range(1, 26))

    def test_one_of_many_adders_gets_the_url(self, shelf: Shelf, a_listing: MakeListing) -> None:
        twins = [a_listing(url="https://a.example/same") for _ in range(12)]
        outcomes = []

        def add(listing: Aggregate) -> None:
            try:
                shelf.listings.add(listing)
                outcomes.append(listing.id)
            except Conflict:
                pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, twins))
        assert len(outcomes) == 1
        assert [subject for _, subject, _ in shelf.events()] == outcomes

    def test_many_are_stored_at_once_and_those_that_cannot_be_leave_the_rest_alone(
        self, shelf: Shelf, a_listing: MakeListing
    ) -> None:
        known, taken = a_listing(), a_listing()
        shelf.listings.add(known)
        shelf.listings.add(taken)
        new = a_listing()
        blocked = a_listing(url=taken.given.url)
        revised = named(known, "3")
        stale = taken.revised(taken.given, None, LATER).revised(taken.given, None, LATER)
        again = named(new, "4")
        assert shelf.listings.store([new, blocked], [revised, stale, again]) == [True, False, True, False, True]
        assert shelf.listings.by_urls([url_of(known), url_of(new), "https://a.example/none"]) == {
            known.given.url: revised,
            new.given.url: again,
        }
        assert shelf.events()[2:] == [("Created", new.id, 1), ("Updated", known.id, 2), ("Updated", new.id, 2)]

    def test_a_list_walks_all_listings_in_order(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listings = [a_listing(is_visible=number % 3 != 0) for number in range(9)]
        for listing in reversed(listings):
            shelf.listings.add(listing)
        listings.sort(key=lambda listing: listing.id)
        assert shelf.listings.list({}, None, 4) == listings[:4]
        assert shelf.listings.list({}, listings[3].id, 100) == listings[4:]
        assert shelf.listings.list({"is_visible": True}, None, 100) == [each for each in listings if each.given.is_visible]

    def test_a_list_is_filtered_by_each_filter_of_its_kind(self, shelf: Shelf, tested: Tested, a_listing: MakeListing) -> None:
        for name, (one, other) in tested.filters.items():
            first, second, hidden = (
                a_listing(**{name: one}),
                a_listing(**{name: other}),
                a_listing(**{name: one}, is_visible=False),
            )
            for each in (first, second, hidden):
                shelf.listings.add(each)
            assert shelf.listings.list({name: one}, None, 100) == [first, hidden]
            assert shelf.listings.list({name: one, "is_visible": True}, None, 100) == [first]
            assert shelf.listings.list({name: other}, None, 100) == [second]
            told = second.revised(first.given, None, LATER)
            told = replace(told, given=replace(told.given, url=second.given.url))  # type: ignore[type-var]
            shelf.listings.put(told)
            assert shelf.listings.list({name: one}, first.id, 100) == [told, hidden]
            for each in (first, hidden, told):
                shelf.listings.remove(each, LATER)
            assert shelf.listings.list({name: one}, None, 100) == []

    def test_a_viewer_is_shown_what_is_visible_and_what_is_its_own(self, shelf: Shelf, a_listing: MakeListing) -> None:
        seen, mine, others, nobodys = (
            replace(a_listing(is_visible=visible), owner=owner)
            for visible, owner in ((True, "i|other"), (False, "i|me"), (False, "i|other"), (False, ""))
        )
        shelf.listings.store([seen, mine, others, nobodys], [])
        assert shelf.listings.list({}, None, 10, "i|me") == [seen, mine]
        assert shelf.listings.list({"is_visible": False}, None, 10, "i|me") == [mine]
        assert shelf.listings.list({}, None, 1, "i|me") == [seen]
        assert shelf.listings.list({}, seen.id, 10, "i|me") == [mine]
        assert shelf.listings.list({}, None, 10, "") == [seen], "who said nothing owns nothing"
        assert shelf.listings.list({}, None, 10) == [seen, mine, others, nobodys]

    def test_a_listing_that_is_gone_is_neither_listed_nor_found_nor_changed(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing = a_listing()
        shelf.listings.add(listing)
        shelf.listings.remove(listing, LATER)
        assert shelf.listings.list({}, None, 10) == []
        assert shelf.listings.by_urls([url_of(listing)]) == {}
        with pytest.raises(NotFound):
            shelf.listings.put(listing.revised(listing.given, None, LATER))
        assert shelf.listings.store([], [listing.revised(listing.given, None, LATER)]) == [False]

    def test_a_stale_removal_changes_nothing(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing = a_listing()
        shelf.listings.add(listing)
        shelf.listings.put(listing.revised(listing.given, None, LATER))
        with pytest.raises(Stale) as stale:
            shelf.listings.remove(listing, LATER)
        assert stale.value.version == 2
        assert shelf.listings.get(listing.id).version == 2

    def test_storing_nothing_and_asking_for_nothing_is_fine(self, shelf: Shelf) -> None:
        assert shelf.listings.store([], []) == []
        assert shelf.listings.by_urls([]) == {}

    def test_who_store_the_same_listings_in_another_order_do_not_wait_for_each_other_for_ever(
        self, shelf: Shelf, a_listing: MakeListing
    ) -> None:
        urls = [f"https://a.example/{number}" for number in range(200)]
        known = [a_listing() for _ in range(50)]
        shelf.listings.store(known, [])

        def store(backwards: bool) -> list[bool]:
            added = [a_listing(url=url) for url in urls]
            revised = [named(listing, "7") for listing in known]
            if backwards:
                added.reverse()
                revised.reverse()
            done = shelf.listings.store(added, revised)
            return list(reversed(done[:200])) + list(reversed(done[200:])) if backwards else list(done)

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(store, [False, True] * 4))
        assert [sum(done) for done in zip(*answers, strict=True)] == [1] * 250
        assert len(shelf.events()) == 50 + 250

    def test_the_sum_of_versions_grows_by_one_with_every_change(self, shelf: Shelf, a_listing: MakeListing) -> None:
        assert shelf.listings.summary() == Summary(living=0, tombstones=0, versions=0)
        stays, gone = a_listing(), a_listing()
        shelf.listings.store([stays, gone], [])
        shelf.listings.put(named(stays, "1"))
        assert shelf.listings.summary() == Summary(living=2, tombstones=0, versions=3)
        shelf.listings.remove(gone, LATER)
        assert shelf.listings.summary() == Summary(living=1, tombstones=1, versions=4)


class TestKept:
    """What is kept, read out and put back."""

    def test_it_is_walked_in_order_with_hidden_listings_and_tombstones(self, shelf: Shelf, a_listing: MakeListing) -> None:
        shown, hidden, gone, revised = listings = sorted(
            (a_listing(), a_listing(is_visible=False), a_listing(), a_listing()), key=lambda each: each.id
        )
        for each in reversed(listings):
            shelf.listings.add(each)
        shelf.listings.remove(gone, LATER)
        revised = revised.revised(revised.given, None, LATER)
        assert shelf.listings.store([], [revised]) == [True]
        everything = all_kept(shelf)
        assert [(each.id, each.version, each.what) for each in everything] == [
            (shown.id, 1, shown),
            (hidden.id, 1, hidden),
            (gone.id, 2, LATER),
            (revised.id, 2, revised),
        ]
        assert shelf.listings.kept(None, None, 2) == everything[:2]
        assert shelf.listings.kept(None, hidden.id, 100) == everything[2:]
        assert shelf.listings.kept({gone.id, shown.id, str(uuid7())}, None, 100) == [everything[0], everything[2]]
        assert shelf.listings.kept({gone.id, shown.id}, shown.id, 100) == [everything[2]]
        assert shelf.listings.kept([], None, 100) == []

    def test_a_row_keeps_the_ids_of_the_work_that_wrote_it_last(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing, stored = a_listing(), a_listing()

        def origins() -> dict[str, Origin]:
            return {each.id: each.origin for each in all_kept(shelf)}

        seen: list[str] = []
        second = listing.revised(listing.given, None, LATER)
        writes: tuple[Callable[[], object], ...] = (
            lambda: shelf.listings.add(listing),
            lambda: shelf.listings.put(second),
            lambda: shelf.listings.store([stored], [second.revised(listing.given, None, LATER)]),
            lambda: shelf.listings.remove(replace(second, version=3), LATER),
        )
        for number, write in enumerate(writes):
            with bind(f"request-{number}") as work:
                write()
            origin = origins()[listing.id]
            assert (origin.request_id, origin.traceparent) == (f"request-{number}", work.traceparent)
            seen.append(origin.event_id)
        assert len(set(seen)) == 4
        assert "" not in seen
        assert origins()[stored.id].request_id == "request-2"

    def test_an_empty_place_is_restored_to_the_same(self, shelf: Shelf, tested: Tested, a_listing: MakeListing) -> None:
        listing, bare, gone = replace(a_listing(), owner="i|a"), a_listing(**dict.fromkeys(tested.optional)), a_listing()
        revised = replace(a_listing(), version=7)
        given = [
            *(kept(each, event_id=str(uuid7()), request_id="r", traceparent="t") for each in (listing, revised, bare)),
            tombstone(gone, 3, event_id=str(uuid7())),
        ]
        assert shelf.listings.restore(given) == [Restored("restored")] * 4
        assert all_kept(shelf) == sorted(given, key=lambda each: each.id)
        assert sorted(shelf.events()) == sorted(
            [("Created", listing.id, 1), ("Updated", revised.id, 7), ("Created", bare.id, 1), ("Deleted", gone.id, 3)]
        )
        # It lives on from there.
        shelf.listings.put(revised.revised(revised.given, None, LATER))
        with pytest.raises(NotFound):
            shelf.listings.get(gone.id)

        events = len(shelf.events())
        assert shelf.listings.restore(given) == [Restored("unchanged")] * 4
        assert (len(shelf.events()), shelf.listings.get(revised.id).version) == (events, 8)
        assert shelf.listings.restore([]) == []

    def test_what_is_there_in_a_lower_version_is_replaced(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing, gone, again = a_listing(), a_listing(), a_listing()
        for each in (listing, gone, again):
            shelf.listings.add(each)
        shelf.listings.remove(again, LATER)
        newer = replace(listing, version=4, given=replace(listing.given, url="https://a.example/moved"))  # type: ignore[type-var]
        alive = replace(again, version=5)
        outcomes = shelf.listings.restore([kept(newer), tombstone(gone, 2), kept(alive)])
        assert {each.outcome for each in outcomes} == {"restored"}
        assert (shelf.listings.get(listing.id), shelf.listings.get(again.id)) == (newer, alive)
        with pytest.raises(NotFound):
            shelf.listings.get(gone.id)
        assert shelf.listings.by_urls([url_of(listing), url_of(gone)]) == {}
        assert all(each.origin.event_id for each in all_kept(shelf)), "where none is known, the event has a new one"

    def test_of_one_id_that_comes_twice_the_higher_version_is_restored(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listing = a_listing()
        second = replace(listing, version=2)
        assert [each.outcome for each in shelf.listings.restore([kept(listing), kept(second), kept(listing)])] == [
            "unchanged",
            "restored",
            "unchanged",
        ]
        assert shelf.listings.get(listing.id) == second

    def test_a_living_listings_url_is_not_taken_and_the_rest_goes_on(self, shelf: Shelf, a_listing: MakeListing) -> None:
        holder = a_listing()
        shelf.listings.add(holder)
        thief, other = a_listing(url=holder.given.url), a_listing()
        twin = a_listing(url=other.given.url)
        assert shelf.listings.restore([kept(thief), kept(other), kept(twin)]) == [
            Restored("taken", holder.id),
            Restored("restored"),
            Restored("taken", other.id),
        ]
        assert {each.id for each in all_kept(shelf)} == {holder.id, other.id}
        assert len(shelf.events()) == 2

    def test_urls_may_change_hands_among_the_restored_and_come_from_the_deleted(
        self, shelf: Shelf, a_listing: MakeListing
    ) -> None:
        one, other, gone = a_listing(), a_listing(), a_listing()
        for each in (one, other, gone):
            shelf.listings.add(each)
        heir = a_listing(url=gone.given.url)
        swapped = [
            replace(a, version=2, given=replace(a.given, url=b.given.url))  # type: ignore[type-var]
            for a, b in ((one, other), (other, one))
        ]
        outcomes = shelf.listings.restore([*map(kept, swapped), kept(heir), tombstone(gone, 2)])
        assert {each.outcome for each in outcomes} == {"restored"}
        assert shelf.listings.by_urls([url_of(one), url_of(other), url_of(gone)]) == {
            other.given.url: swapped[0],
            one.given.url: swapped[1],
            gone.given.url: heir,
        }

    def test_who_is_refused_keeps_its_url_and_so_refuses_another(self, shelf: Shelf, a_listing: MakeListing) -> None:
        holder, refused = a_listing(), a_listing()
        for each in (holder, refused):
            shelf.listings.add(each)
        wanted = replace(refused, version=2, given=replace(refused.given, url=holder.given.url))  # type: ignore[type-var]
        hopeful = a_listing(url=refused.given.url)
        assert shelf.listings.restore([kept(wanted), kept(hopeful)]) == [
            Restored("taken", holder.id),
            Restored("taken", refused.id),
        ]
        assert shelf.listings.get(refused.id) == refused

    def test_many_restore_the_same_at_once(self, shelf: Shelf, a_listing: MakeListing) -> None:
        given = [kept(a_listing()) for _ in range(100)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: shelf.listings.restore(given), range(8)))
        assert {each.id: each.what for each in all_kept(shelf)} == {each.id: each.what for each in given}
        assert set(shelf.events()) == {("Created", each.id, 1) for each in given}

    def test_who_restore_and_who_write_the_same_urls_all_end(self, shelf: Shelf, a_listing: MakeListing) -> None:
        """Each in an order of its own; one listing of each url is left, and each version has one event."""
        urls = [f"https://a.example/{number}" for number in range(30)]

        def restore(backwards: bool) -> Sequence[object]:
            return shelf.listings.restore([kept(a_listing(url=url)) for url in (reversed(urls) if backwards else urls)])

        def store(backwards: bool) -> Sequence[object]:
            return shelf.listings.store([a_listing(url=url) for url in (reversed(urls) if backwards else urls)], [])

        with ThreadPoolExecutor(8) as pool:
            running = [pool.submit(job, backwards) for job in (restore, store) for backwards in (False, True) for _ in range(3)]
            assert [len(each.result(60)) for each in running] == [30] * 12
        living = [each.listing for each in all_kept(shelf) if each.listing is not None]
        assert sorted(url_of(each) for each in living) == sorted(urls)
        assert sorted(shelf.events()) == sorted(("Created", each.id, 1) for each in living)


class TestOnce:
    """A creation that comes again with its key."""

    def test_it_is_answered_as_the_first_time_and_done_once(self, shelf: Shelf, a_listing: MakeListing) -> None:
        once, listing = Once(b"k" * 32, b"b" * 32), a_listing()
        shelf.listings.add(listing, once)
        for again in (a_listing(), a_listing(url=listing.given.url)):  # known before the url is looked at
            with pytest.raises(Repeated) as repeated:
                shelf.listings.add(again, once)
            assert (repeated.value.answer["id"], repeated.value.answer["version"]) == (listing.id, 1)
            with pytest.raises(KeyReused):
                shelf.listings.add(again, Once(once.key, b"c" * 32))
            assert repeated.value.answer["name"] == listing.given.name
        shelf.listings.add(a_listing(), Once(b"l" * 32, once.body))
        assert len(shelf.events()) == 2

    def test_it_is_answered_so_whatever_became_of_the_listing(self, shelf: Shelf, a_listing: MakeListing) -> None:
        once, listing = Once(b"k" * 32, b"b" * 32), a_listing()
        shelf.listings.add(listing, once)
        shelf.listings.put(named(listing, "other"))
        shelf.listings.remove(named(listing, "other"), LATER)
        with pytest.raises(Repeated) as repeated:
            shelf.listings.add(a_listing(url=listing.given.url), once)
        assert repeated.value.answer["name"] == listing.given.name

    def test_a_creation_that_was_refused_has_used_no_key(self, shelf: Shelf, a_listing: MakeListing) -> None:
        holder, once = a_listing(), Once(b"k" * 32, b"b" * 32)
        shelf.listings.add(holder)
        with pytest.raises(Conflict):
            shelf.listings.add(a_listing(url=holder.given.url), once)
        shelf.listings.recall(once)
        shelf.listings.add(a_listing(), once)
        with pytest.raises(Repeated):
            shelf.listings.recall(once)
        with pytest.raises(KeyReused):
            shelf.listings.recall(Once(once.key, b"c" * 32))

    def test_of_many_at_once_one_creates(self, shelf: Shelf, a_listing: MakeListing) -> None:
        once = Once(b"k" * 32, b"b" * 32)
        url = "https://a.example/same"

        def add(_: int) -> str:
            listing = a_listing(url=url)
            try:
                shelf.listings.add(listing, once)
            except Repeated as repeated:
                return str(repeated.answer["id"])
            return listing.id

        with ThreadPoolExecutor(8) as pool:
            ids = set(pool.map(add, range(24)))
        assert shelf.events() == [("Created", id, 1) for id in ids]
        assert len(ids) == 1

    def test_old_keys_are_forgotten(self, shelf: Shelf, a_listing: MakeListing) -> None:
        listings: Listings = shelf.listings
        once, listing = Once(b"k" * 32, b"b" * 32), a_listing()
        listings.add(listing, once)
        now = datetime.now(UTC)
        assert listings.forget_keys(now - timedelta(hours=1)) == 0
        with pytest.raises(Repeated):
            listings.recall(once)
        assert listings.forget_keys(now + timedelta(hours=1)) == 1
        listings.recall(once)
        with pytest.raises(Conflict):
            listings.add(a_listing(url=listing.given.url), once)
        assert listings.forget_keys(now + timedelta(hours=1)) == 0
