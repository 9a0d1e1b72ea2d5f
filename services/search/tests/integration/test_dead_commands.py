"""`search dead …` as an operator uses it: what is dead, why, back it goes, or away with a reason."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.envelope import to_message
from common.messaging.connect import connect
from common.messaging.port import Broker, Burial, Message
from common.messaging.topology import ITEMS, ROOMS, SEARCH_ITEMS, SEARCH_ROOMS, TOPOLOGY, Queue
from common.testing.broker_contract import take
from common.testing.waiting import eventually
from search.__main__ import main

Run = Callable[..., tuple[int, str, str]]
ID = "0197f6a0-0000-7000-8000-000000000001"
TRACE = "0af7651916cd43dd8448eb211c80319c"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOISE = Message(id="noise", routing_key="RoomCreated", body=b"\xc3\x01garbage!" * 4, headers={"odd": "\x1b[2J"}, timestamp=0)


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with closing(connect(broker_url, "test")) as broker:
        broker.declare(TOPOLOGY)
        yield broker


@pytest.fixture
def run(broker_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`search dead …` within this process: (exit status, what it printed, what it said beside that)."""
    monkeypatch.setenv("BROKER_URL", broker_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["dead", *arguments])
        return (status, *capsys.readouterr())

    return run


def deletion(id: str, exchange: str = ROOMS) -> Message:
    type = "RoomDeleted" if exchange == ROOMS else "ItemDeleted"
    body = Codec(Catalogue.load()).encode(type, {"id": ID, "version": 2, "url": "https://a.example/", "deleted_at": NOW})
    return to_message(
        id=id, source=f"/{exchange}", type=type, subject=ID, sequence=2, time=NOW, dataschema="",
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01", request_id="r-1", body=body,
    )  # fmt: skip


def bury(broker: Broker, *batch: Message, reason: str = "invalid", queue: Queue = SEARCH_ROOMS) -> None:
    assert all(broker.publisher().publish(queue.bindings[0][0], batch, 10))
    before = broker.depth(queue.dead)
    with closing(broker.subscribe(queue, 10)) as subscription:
        subscription.bury([Burial(each, reason, "the index is in a mood") for each in take(subscription, len(batch))])
    eventually(lambda: broker.depth(queue.dead) == before + len(batch))


def test_a_letter_is_listed_shown_sent_back_and_no_more_there(broker: Broker, run: Run) -> None:
    assert run("list") == (0, "nothing in search.rooms.dead or search.items.dead\n", "")
    bury(broker, deletion("e-1"))
    status, listed, _ = run("list")
    head, row = (line.split() for line in listed.splitlines())
    assert head == ["id", "type", "subject", "reason", "when", "attempts", "redrives", "queue"]
    assert (status, row[:4], row[5:]) == (0, ["e-1", "RoomDeleted", ID, "invalid"], ["0", "0", "search.rooms"])

    status, shown, _ = run("show", "e-1")
    told = {name: value for name, _, value in (line.partition(" ") for line in shown.split("\n\n")[0].splitlines())}
    assert {name: value.strip() for name, value in told.items() if name != "when"} == {
        "id": "e-1", "type": "RoomDeleted", "subject": ID, "reason": "invalid", "detail": "the index is in a mood",
        "attempts": "0", "redrives": "0", "queue": "search.rooms", "trace": TRACE, "request": "r-1",
    }  # fmt: skip
    assert "  cloudEvents_source: /rooms\n" in shown
    assert json.loads(shown.partition("\nevent\n")[2])["version"] == 2

    assert run("redrive", "--id", "e-1")[:2] == (0, "1 redriven\n")
    eventually(lambda: broker.depth(SEARCH_ROOMS.name) == 1)
    assert run("list")[1] == "nothing in search.rooms.dead or search.items.dead\n"


def test_the_list_is_json_for_programs(broker: Broker, run: Run) -> None:
    bury(broker, deletion("e-1"), NOISE)
    told = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    assert [(each["id"], each["type"], each["subject"], each["trace"]) for each in told] == [
        ("e-1", "RoomDeleted", ID, TRACE),
        ("noise", "RoomCreated", "", ""),
    ]
    assert len(run("list", "--json", "--limit", "1")[1].splitlines()) == 1
    assert run("list", "--limit", "1")[1].endswith("there are more; --limit shows them\n")


def test_what_cannot_be_decoded_is_shown_in_hex_and_steers_no_terminal(broker: Broker, run: Run) -> None:
    bury(broker, NOISE)
    _, shown, _ = run("show", "noise")
    assert "\nbody of 40 bytes, undecodable: no schema here has the fingerprint" in shown
    assert f"\n  {NOISE.body[:32].hex()}\n  {NOISE.body[32:].hex()}\n" in shown
    assert "  odd: \\x1b[2J\n" in shown and "\x1b" not in shown


def test_letters_of_both_queues_are_listed_found_and_go_back_to_their_own(broker: Broker, run: Run) -> None:
    bury(broker, deletion("e-1"))
    bury(broker, deletion("e-2", ITEMS), deletion("e-3", ITEMS), queue=SEARCH_ITEMS)
    told = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    assert [(each["id"], each["queue"]) for each in told] == [
        *(("e-1", "search.rooms"), ("e-2", "search.items"), ("e-3", "search.items")),
    ]
    assert "ItemDeleted" in run("show", "e-3")[1]
    assert run("discard", "--id", "e-3", "--why", "a test")[:2] == (0, "1 moved to search.items.discarded\n")
    assert run("redrive", "--all")[:2] == (0, "2 redriven\n")
    eventually(lambda: (broker.depth(SEARCH_ROOMS.name), broker.depth(SEARCH_ITEMS.name)) == (1, 1))


def test_letters_are_sent_back_by_reason_or_all(broker: Broker, run: Run) -> None:
    bury(broker, deletion("e-1"), deletion("e-2"), reason="invalid")
    bury(broker, deletion("e-3"), reason="unknown-type")
    assert run("redrive", "--reason", "unknown-type")[:2] == (0, "1 redriven\n")
    eventually(lambda: broker.depth(SEARCH_ROOMS.dead) == 2)
    assert run("redrive", "--all")[:2] == (0, "2 redriven\n")


def test_a_letter_that_keeps_dying_is_sent_back_only_by_force(broker: Broker, run: Run) -> None:
    bury(broker, deletion("e-1"))
    with closing(broker.subscribe(SEARCH_ROOMS, 1)) as subscription:
        for _ in range(2):
            assert run("redrive", "--all")[0] == 0
            subscription.bury([Burial(each, "failed", "again") for each in take(subscription, 1)])
            eventually(lambda: broker.depth(SEARCH_ROOMS.dead) == 1)
    guarded = "0 redriven; 1 stay, redriven 2 times already (--force sends them all the same)\n"
    assert run("redrive", "--all")[:2] == (1, guarded)
    eventually(lambda: broker.depth(SEARCH_ROOMS.dead) == 1)
    shown = run("show", "e-1")[1]
    assert [" ".join(line.split()[3:]) for line in shown.splitlines() if line.startswith("died before")] == [
        "invalid: the index is in a mood",
        "failed: again",
    ]
    assert run("redrive", "--id", "e-1", "--force")[:2] == (0, "1 redriven\n")


def test_a_discarded_letter_keeps_its_reason_and_who_discarded_it(broker: Broker, run: Run) -> None:
    bury(broker, deletion("e-1"), deletion("e-2"))
    assert run("discard", "--id", "e-1", "--why", "a test\nlisting")[:2] == (0, "1 moved to search.rooms.discarded\n")
    eventually(lambda: broker.depth(SEARCH_ROOMS.discarded) == 1)
    (told,) = (json.loads(line) for line in run("list", "--discarded", "--json")[1].splitlines())
    assert (told["id"], told["reason"], told["why"]) == ("e-1", "invalid", "a test listing")
    assert "@" in told["by"] and told["discarded"]
    assert "a test listing" in run("list", "--discarded")[1]
    assert "discarded_why: a test listing" in run("show", "--discarded", "e-1")[1]
    assert [json.loads(line)["id"] for line in run("list", "--json")[1].splitlines()] == ["e-2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nobody"], "search: no message in search.rooms.dead or search.items.dead has the id 'nobody'\n"),
        (["redrive", "--id", "nobody"], "search: no message in search.rooms.dead or search.items.dead has the id 'nobody'\n"),
        (
            ["discard", "--id", "nobody", "--why", "x"],
            "search: no message in search.rooms.dead or search.items.dead has the id 'nobody'\n",
        ),
        (["discard", "--id", "e", "--why", " "], "search: --why: must say in 1 to 500 characters why nobody needs this letter\n"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run: Run, arguments: list[str], said: str) -> None:
    assert run(*arguments) == (2, "", said)


def test_a_broker_that_is_away_is_said_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "amqp://guest:guest@127.0.0.1:1/")
    for arguments in (["list"], ["redrive", "--all"], ["discard", "--id", "e", "--why", "x"]):
        status, out, said = run(*arguments)
        assert (status, out) == (2, "")
        assert said.splitlines()[-1].startswith("search: broker is not available: ")
