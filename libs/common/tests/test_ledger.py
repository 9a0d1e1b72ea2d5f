"""The ledger finds each kind of fault: else the tests that rely on it could not fail."""

from typing import Any

from common.testing.ledger import Ledger, State


def room(id: str, version: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": id, "version": version, "url": f"https://a.example/{id}", "is_visible": True} | changes


def ledger_of(*ids: str) -> Ledger:
    ledger = Ledger()
    for id in ids:
        ledger.published(id, room(id)["url"], State(1, room=room(id)))
    return ledger


def test_what_is_in_both_as_it_was_answered_is_found():
    ledger = ledger_of("a", "hidden", "gone")
    ledger.acknowledged("hidden", State(2))
    ledger.acknowledged("gone", State(2, deleted=True))
    verdict = ledger.compare([room("a"), room("hidden", 2, is_visible=False)], [room("a")])
    assert verdict.sound
    assert (verdict.acknowledged, verdict.found, verdict.undecided) == (3, 3, 0)


def test_what_is_missing_or_old_anywhere_is_lost():
    ledger = ledger_of("a", "b", "c", "d", "e")
    ledger.acknowledged("c", State(2))
    stored = [room("a"), room("c", 1), room("d"), room("e", name="other")]
    found = [room("b"), room("c", 1), room("d", name="other"), room("e", name="other")]
    verdict = ledger.compare(stored, found)
    assert [fault[0] for fault in verdict.lost] == ["a", "b", "c", "d", "e"]
    assert (verdict.found, verdict.sound) == (0, False)


def test_what_was_deleted_and_is_seen_is_resurrected():
    ledger = ledger_of("a", "b")
    for id in "a", "b":
        ledger.acknowledged(id, State(2, deleted=True))
    verdict = ledger.compare([room("b")], [room("a"), room("b")])
    assert [fault[0] for fault in verdict.resurrected] == ["a", "b"]
    assert not verdict.sound


def test_what_nobody_published_or_was_hidden_and_is_seen_is_a_phantom():
    ledger = ledger_of("a")
    ledger.acknowledged("a", State(2))
    verdict = ledger.compare([room("a", 2, is_visible=False), room("x")], [room("a", 1), room("x"), room("y")])
    assert [fault[0] for fault in verdict.phantom] == ["a", "x", "y"]
    assert not verdict.sound


def test_what_comes_twice_is_duplicated():
    ledger = ledger_of("a", "b")
    verdict = ledger.compare([room("a"), room("b")], [room("a"), room("b"), room("a")])
    assert any("a is there 2 times" in fault for fault in verdict.duplicated)
    assert not verdict.sound


def test_what_got_no_answer_may_have_happened_or_not_but_index_and_database_agree():
    for version, shown in (1, True), (2, True), (3, False), (2, False):
        ledger = ledger_of("a")
        ledger.undecided("a", State(2))
        stored = [room("a", version)]
        verdict = ledger.compare(stored, stored if shown else [])
        assert verdict.sound is (version < 3 and shown)
        assert (verdict.acknowledged, verdict.undecided) == (0, 1)


def test_a_delete_without_an_answer_may_have_happened():
    ledger = ledger_of("a")
    ledger.undecided("a", State(2, deleted=True))
    assert ledger.compare([], []).sound
    assert ledger.compare([room("a")], [room("a")]).sound
    assert not ledger.compare([], [room("a")]).sound


def test_a_listing_whose_publication_got_no_answer_may_be_there():
    ledger = Ledger()
    ledger.maybe_published(room("a")["url"])
    assert ledger.compare([], []).sound
    assert ledger.compare([room("a")], [room("a")]).sound
    assert not ledger.compare([room("a")], []).sound
