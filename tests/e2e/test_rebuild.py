"""The index is compared with the database, mended and rebuilt while everything runs, and nobody who searches notices. On both stacks."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from common.config import load
from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import SEARCH_ROOMS
from common.testing.samples import a_room
from common.testing.system import System
from common.testing.waiting import eventually
from search.adapters.backlog import beside
from search.bootstrap import open_generations
from search.config import Config
from search.domain import Document
from search.kinds import ROOMS
from search.ports import Generations
from search.rebuild import Step

pytestmark = pytest.mark.e2e

_ENDS_AT = """
import os, signal, sys, time
from injector import Injector
from common.config import load
from search import bootstrap
from search.config import Config
from search.kinds import ROOMS

def tell(step, done, total):
    if step.name == sys.argv[2]:
        print(step.name, flush=True)
        os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "die" else time.sleep(600)

config = load(Config, os.environ)
injector = Injector([bootstrap.configure(config)])
with bootstrap.rebuilding(injector, ROOMS, config.batch, tell) as rebuild:
    rebuild.forward(keep=False)
"""


def search(system: System, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`search …` beside the running system."""
    command = [sys.executable, "-m", "search", *arguments]
    return subprocess.run(command, env={**system.environ, **settings}, capture_output=True, text=True, timeout=300, check=False)


def ending(system: System, how: str, step: Step) -> "subprocess.Popen[bytes]":
    """A rebuild that dies, or hangs, when it comes to this step."""
    return subprocess.Popen(
        [sys.executable, "-c", _ENDS_AT, how, step.name],
        env=dict(system.environ),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def generations(system: System) -> Generations:
    return open_generations(load(Config, system.environ), ROOMS)


def filled(system: System, count: int, walked: int | None = None) -> list[str]:
    """Imports so many rooms and waits until all are found; their ids. `walked` are of the provider that People walk, by default all."""
    chosen = count if walked is None else walked
    lines = "".join(json.dumps(a_room(provider="nestly" if number < chosen else "others")) + "\n" for number in range(count))
    headers = {"Content-Type": "application/x-ndjson"}
    answer = system.rooms.post("/v1.0/rooms/import", content=lines, headers=headers, timeout=300)
    ids = [json.loads(line)["id"] for line in answer.text.splitlines()]
    eventually(lambda: system.found(limit=1)["total"]["value"] == count, seconds=20 + count / 500)
    return ids


@dataclass
class People:
    """Some write all the time, one searches all the time: a room that was acknowledged and seen stays found, and none is twice."""

    system: System
    seen: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)  # or about to be
    walks: int = 0
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        mine: list[str] = []
        written = 0
        while not self.stop.wait(0.01):
            room = self.system.rooms.post("/v1.0/rooms", json=a_room())
            assert room.status_code == 201, room.text
            mine.append(room.json()["id"])
            self.versions[mine[-1]] = 1
            changed = self.system.rooms.patch(f"/v1.0/rooms/{mine[len(mine) // 2]}", json={"price": 600 + len(mine)})
            self.versions[changed.json()["id"]] = changed.json()["version"]
            written += 1
            if written % 5 == 0:
                gone = mine.pop(0)
                self.deleted.add(gone)
                assert self.system.rooms.delete(f"/v1.0/rooms/{gone}").status_code == 204
                self.versions.pop(gone)

    def look(self) -> None:
        while not self.stop.is_set():
            expected = set(self.seen)
            found = self._walk()
            if twice := {id for id in found if found.count(id) > 1}:
                self.wrong.append(f"twice: {twice}")
            if lost := expected - set(found) - self.deleted:
                self.wrong.append(f"lost in walk {self.walks}: {lost}")
            self.seen |= set(found)
            self.walks += 1

    def _walk(self) -> list[str]:
        found: list[str] = []
        query: dict[str, Any] = {"limit": 100, "provider": "nestly"}
        while True:
            page = self.system.found(**query)
            found += [hit["id"] for hit in page["hits"]]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    def guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.wrong.append(repr(error))


@contextmanager
def people(system: System) -> Iterator[People]:
    """At work as long as the block lasts; nothing may have gone wrong at its end."""
    those = People(system)
    works = [those.write, those.write, those.look]
    threads = [threading.Thread(target=those.guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: those.walks > 2 and len(those.versions) > 5)
        yield those
        walks = those.walks
        eventually(lambda: those.walks > walks + 2 or those.wrong)
    finally:
        those.stop.set()
        for thread in threads:
            thread.join(30)
    assert not those.wrong, those.wrong[:5]


def settled(system: System, those: People, ids: list[str]) -> None:
    """Everything acknowledged is found with its version, the audit is clean, and nothing of a rebuild is left."""
    for id, version in list(those.versions.items())[::10]:
        eventually(partial(_is_indexed, system, id, version))
    eventually(lambda: system.found(limit=1)["total"]["value"] == len(ids) + len(those.versions))
    audit = search(system, "audit", "rooms")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    broker = connect(system.environ["BROKER_URL"], "test")
    try:
        eventually(lambda: broker.depth(SEARCH_ROOMS.name) == 0)
        assert broker.depth(SEARCH_ROOMS.dead) == 0
        numbers = [each.number for each in generations(system).all()]
        for number in range(1, max(numbers) + 2):
            assert not _takes(broker, beside(SEARCH_ROOMS, number).name), f"the queue of generation {number} is left"
    finally:
        broker.close()


def _is_indexed(system: System, id: str, version: int) -> bool:
    return (system.indexed(id) or {}).get("version") == version


def _takes(broker: Broker, queue: str) -> bool:
    """Whether there is a queue of this name."""
    publisher = broker.publisher()
    try:
        return bool(publisher.publish("", [Message("probe", queue, b"", {}, 0)], 10)[0])
    finally:
        publisher.close()


def test_a_rebuild_under_writes_is_seen_by_nobody_and_neither_is_the_way_back(system):
    ids = filled(system, 300)
    with people(system) as those:
        for arguments, live in ((), 2), (("--keep",), 3), (("--rollback", "--keep"), 2), ((), 3):
            done = search(system, "rebuild", "rooms", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"rooms-g{live} is live" in done.stderr
    assert [(each.number, each.live) for each in generations(system).all()] == [(3, True)]
    settled(system, those, ids)
    assert eventually(lambda: system.found()["index"]["stale"] is False)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stack", ["real"], indirect=True)
def test_fifty_thousand_rooms_are_rebuilt_under_writes(system):
    ids = filled(system, 50_000, walked=500)
    with people(system) as those:
        done = search(system, "rebuild", "rooms")
        assert done.returncode == 0, done.stdout + done.stderr
    assert "rooms-g2 is live" in done.stderr
    settled(system, those, ids)


def test_a_rebuild_that_is_killed_at_any_step_harms_nobody_and_can_be_run_again(system):
    ids = filled(system, 150)
    with people(system) as those:
        for step in Step:
            killed = ending(system, "die", step)
            assert killed.communicate(timeout=60)[0].decode().strip() == step.name
            assert killed.returncode == -9, step
        done = search(system, "rebuild", "rooms")
        assert done.returncode == 0, done.stdout + done.stderr
    assert [each.live for each in generations(system).all()] == [True]
    settled(system, those, ids)


def test_two_rebuilds_at_a_time_are_refused_until_the_first_has_died(system):
    filled(system, 3)
    first = ending(system, "hang", Step.LOAD)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"LOAD\n"
        for arguments in ((), ("--rollback",)):
            second = search(system, "rebuild", "rooms", *arguments)
            assert (second.returncode, second.stdout) == (2, "")
            assert second.stderr == "search: another process is at it already (search.rebuild)\n"
    finally:
        first.kill()
        first.communicate()
    assert eventually(lambda: search(system, "rebuild", "rooms").returncode == 0)


def test_a_rebuild_told_to_end_leaves_nothing_behind(system):
    filled(system, 3)
    rebuild = subprocess.Popen(
        [sys.executable, "-m", "search", "rebuild", "rooms"],
        env={**system.environ, "FORCE_COLOR": ""},
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert rebuild.stderr is not None
    for line in rebuild.stderr:
        if line.strip() == Step.BIND:
            rebuild.terminate()
            break
    rebuild.communicate(timeout=30)
    assert rebuild.returncode in (0, 130)  # it may have been faster
    assert [each.live for each in generations(system).all()] == [True]


def test_the_audit_tells_what_differs_and_repairs_what_it_can_beside_the_running_system(system):
    ids = filled(system, 5)
    agreed = search(system, "audit", "rooms")
    assert (agreed.returncode, agreed.stdout) == (0, "")
    assert "rooms: 5 compared: the index agrees with what is kept" in agreed.stderr

    live = generations(system).open(1)
    shown = system.indexed(ids[0])
    assert shown is not None
    phantom = Document(id=str(uuid4()), version=1, listing={**shown["room"], "name": "Phantom"})
    ahead = Document(id=ids[1], version=9, listing={**shown["room"], "id": ids[1], "version": 9})
    _applied(live, [phantom, ahead])
    live.close()
    eventually(lambda: system.found(q="phantom")["total"]["value"] == 1)
    told = search(system, "audit", "rooms", "--json")
    assert told.returncode == 1
    assert {(row["id"], row["kind"]) for row in map(json.loads, told.stdout.splitlines())} == {
        (phantom.id, "phantom"),
        (ids[1], "ahead"),
    }
    table = search(system, "audit", "rooms", "--repair")
    assert table.returncode == 1
    assert "what is left takes a rebuild" in table.stderr
    rows = [line.split() for line in table.stdout.splitlines()]
    assert rows[0] == ["id", "difference", "kept", "indexed", "outcome"]
    assert sorted(row[:4] for row in rows[1:]) == sorted([[phantom.id, "phantom", "–", "1"], [ids[1], "ahead", "1", "9"]])

    assert search(system, "rebuild", "rooms").returncode == 0
    assert search(system, "audit", "rooms").returncode == 0
    assert system.found(q="phantom")["total"]["value"] == 0


def test_what_the_index_lost_is_repaired_beside_the_running_system(system):
    ids = filled(system, 5)
    gone = generations(system)
    number = gone.make()  # an empty one takes over, as if all had been lost
    with gone.hold(gone.mark()):
        gone.swap(number)
    eventually(lambda: system.found()["total"]["value"] == 0)
    assert search(system, "audit", "rooms").returncode == 1
    repaired = search(system, "audit", "rooms", "--repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "5 mended" in repaired.stderr
    eventually(lambda: {hit["id"] for hit in system.found()["hits"]} == set(ids))


def test_without_the_rooms_api_audit_and_rebuild_end_in_one_line_and_change_nothing(system):
    filled(system, 3)
    for command in "audit", "rebuild":
        told = search(system, command, "rooms", ROOMS_URL="http://127.0.0.1:1")
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.splitlines()[-1].startswith("search: the rooms API at http://127.0.0.1:1")
    assert [(each.number, each.live) for each in generations(system).all()] == [(1, True)]
    assert system.found()["total"]["value"] == 3


def _applied(index: Any, documents: list[Document]) -> None:
    index.apply([replace(each, indexed_at="2026-01-02T03:04:06Z") for each in documents])
