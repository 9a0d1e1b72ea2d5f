"""Whose a listing is: who may change it, who sees it while it is hidden, and what an import says of one that is another's."""

from contextvars import copy_context
from typing import Any

import orjson
import pytest

from common.errors import Conflict, Forbidden, NotFound
from common.listings.domain import Aggregate, Given
from common.listings.lines import ImportLines
from common.listings.ports import Locator, SystemClock
from common.listings.use_cases import Browse, Import, Publish, Read, Revise, Withdraw
from common.security.current import use
from common.security.principal import ANONYMOUS, LOCAL, Principal
from common.testing.listings.api import Api
from common.testing.listings.repository import Shelf
from common.testing.listings.tested import Body, Make, Tested
from common.testing.listings.use_cases import Nowhere

ISSUER = "https://issuer.example"
ANN, BEN = Principal(ISSUER, "ann", frozenset()), Principal(ISSUER, "ben", frozenset())
ADMIN = Principal(ISSUER, "root", frozenset({"admin"}))
LOCATOR: Locator = Nowhere()


class Desk:
    """The use cases, on some repository."""

    def __init__(self, shelf: Shelf) -> None:
        listings, kind, clock = shelf.listings, shelf.tested.kind, SystemClock()
        self.kind = kind
        self.publish = Publish(kind, listings, LOCATOR, clock)
        self.revise = Revise(listings, LOCATOR, clock)
        self.withdraw, self.read, self.browse = Withdraw(listings, clock), Read(listings), Browse(listings)
        self.load = Import(kind, listings, LOCATOR, clock)

    def published(self, by: Principal, body: Body) -> Aggregate:
        return self.publish(self.kind.given.parse(body), by)

    def renamed(self, listing: Aggregate, by: Principal, name: str) -> Aggregate:
        def renaming(current: Aggregate) -> Given:
            return self.kind.given.restored(current.given.document() | {"name": name})

        return self.revise(listing.id, renaming, by)


class TestOwners:
    @pytest.fixture
    def desk(self, shelf: Shelf) -> Desk:
        return Desk(shelf)

    def test_a_listing_belongs_to_who_published_it(self, desk: Desk, listing: Make) -> None:
        made = desk.published(ANN, listing())
        assert made.owner == "https://issuer.example|ann"
        assert desk.renamed(made, ANN, "hers").owner == made.owner
        assert desk.renamed(made, ADMIN, "set right").owner == made.owner, "it does not change hands"
        assert desk.read(made.id, ANONYMOUS).given.name == "set right"

    @pytest.mark.parametrize("by", [BEN, ANONYMOUS], ids=["another", "nobody"])
    def test_nobody_else_changes_it(self, shelf: Shelf, desk: Desk, listing: Make, by: Principal) -> None:
        made = desk.published(ANN, listing())
        with pytest.raises(Forbidden):
            desk.renamed(made, by, "not his")
        with pytest.raises(Forbidden):
            desk.withdraw(made.id, by)
        with pytest.raises(Forbidden):  # whatever version is expected
            desk.withdraw(made.id, by, {7})
        assert shelf.events() == [("Created", made.id, 1)]

    def test_who_may_everything_changes_it_and_its_owner_withdraws_it(self, desk: Desk, listing: Make) -> None:
        made, other = desk.published(ANN, listing()), desk.published(ANN, listing())
        assert desk.renamed(made, ADMIN, "set right").version == 2
        assert desk.withdraw(made.id, ANN) == 3
        assert desk.withdraw(other.id, ADMIN) == 2

    def test_what_nobody_in_particular_wrote_is_for_admins_to_change(self, desk: Desk, listing: Make) -> None:
        made = desk.published(LOCAL, listing())
        assert made.owner == ""
        for by in (ANN, ANONYMOUS, Principal("", "", frozenset())):
            with pytest.raises(Forbidden):
                desk.renamed(made, by, "mine")
        assert desk.renamed(made, ADMIN, "set right").version == 2
        assert desk.renamed(made, LOCAL, "once more").version == 3

    def test_a_hidden_listing_is_not_there_for_others(self, desk: Desk, listing: Make) -> None:
        made = desk.published(ANN, listing(is_visible=False))
        for by in (BEN, ANONYMOUS):
            with pytest.raises(NotFound):
                desk.read(made.id, by)
            with pytest.raises(NotFound):
                desk.renamed(made, by, "seen")
            with pytest.raises(NotFound):
                desk.withdraw(made.id, by)
        for by in (ANN, ADMIN, LOCAL):
            assert desk.read(made.id, by) == made

    def test_a_list_shows_what_is_visible_and_what_is_ones_own(self, desk: Desk, listing: Make) -> None:
        seen, hers, his, nobodys = (
            desk.published(by, listing(is_visible=visible))
            for by, visible in ((BEN, True), (ANN, False), (BEN, False), (LOCAL, False))
        )

        def listed(by: Principal, **filter: bool) -> list[Aggregate]:
            return list(desk.browse(filter, None, 10, by))

        assert listed(ANN) == [seen, hers]
        assert listed(BEN) == [seen, his]
        assert listed(ANONYMOUS) == [seen]
        assert listed(ADMIN) == listed(LOCAL) == [seen, hers, his, nobodys]
        assert listed(ANN, is_visible=False) == [hers]
        assert listed(ANONYMOUS, is_visible=False) == []

    def test_an_import_says_what_is_anothers_and_goes_on(self, shelf: Shelf, desk: Desk, listing: Make) -> None:
        hers, new = listing(), listing()
        made = desk.published(ANN, hers)
        lines = [hers | {"name": "his"}, new, hers, hers | {"surprise": 1, "name": "<b></b>"}]
        outcomes = desk.load(lines, BEN)
        assert [(each.outcome, each.id == made.id) for each in outcomes] == [
            ("forbidden", True),
            ("created", False),
            ("forbidden", True),  # even where nothing would change: what it holds is not told either
            ("forbidden", True),
        ]
        assert all(isinstance(outcomes[line].problem, Forbidden) for line in (0, 2, 3))
        assert [each.outcome for each in desk.load([hers | {"name": "hers"}, new], ANN)] == ["updated", "forbidden"]
        assert [each.outcome for each in desk.load([hers, new | {"name": "x"}], ADMIN)] == ["updated", "updated"]
        assert len(shelf.events()) == 5

    def test_a_url_that_is_taken_does_not_tell_of_a_hidden_listing(self, desk: Desk, listing: Make) -> None:
        hidden, seen = listing(is_visible=False), listing()
        ids = {body["url"]: desk.published(ANN, body).id for body in (hidden, seen)}

        def existing(by: Principal, body: Body, change: Aggregate | None) -> str:
            given = desk.kind.given.parse(listing(url=body["url"]))
            with pytest.raises(Conflict) as conflict:
                desk.publish(given, by) if change is None else desk.revise(change.id, lambda _: given, by)
            return conflict.value.existing_id

        for by, told in ((BEN, ""), (ANN, ids[hidden["url"]]), (ADMIN, ids[hidden["url"]])):
            for change in (None, desk.published(by, listing())):
                assert existing(by, hidden, change) == told
                assert existing(by, seen, change) == ids[seen["url"]]
        (refused,) = desk.load([hidden | {"name": "his"}], BEN)
        assert (refused.outcome, refused.id) == ("forbidden", None)

    def test_a_forbidden_line_is_answered_with_its_problem(self, own: Api, tested: Tested, listing: Make) -> None:
        hers = listing()

        def sent(by: Principal, body: Body) -> dict[str, Any]:
            def send() -> list[bytes]:
                use(by)
                return own.app.injector.get(ImportLines)([(1, orjson.dumps(body))])

            (line,) = copy_context().run(send)
            outcome: dict[str, Any] = orjson.loads(line)
            return outcome

        created = sent(ANN, hers)
        refused = sent(BEN, hers | {"name": "his"})
        assert (refused["outcome"], refused["id"]) == ("forbidden", created["id"])
        problem = refused["problem"]
        assert (problem["type"], problem["status"]) == ("/problems/forbidden", 403)
        assert problem["detail"]
        assert [each["owner"] for each in own.exported()] == [f"{ISSUER}|ann"]
