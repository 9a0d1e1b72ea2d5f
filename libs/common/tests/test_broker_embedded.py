"""The embedded broker's file: shared, replaced, damaged, full."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.errors import Unavailable, WrongSetting
from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import Queue, Topology
from common.testing.broker_contract import EXCHANGE, QUEUE, SOON, TOPOLOGY, message, messages, names, publish, take
from common.testing.waiting import eventually


@pytest.fixture
def path(embedded_broker_url: str) -> Path:
    return Path(embedded_broker_url.removeprefix("sqlite:///"))


@pytest.fixture
def broker(embedded_broker_url: str) -> Iterator[Broker]:
    with contextlib.closing(connect(embedded_broker_url, "embedded")) as broker:
        yield broker


def python(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)


def test_paths_are_relative_or_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, expected in (
        ("sqlite:///a/b.db", tmp_path / "a" / "b.db"),
        (f"sqlite:///{tmp_path}/c/d.db", tmp_path / "c" / "d.db"),
    ):
        with contextlib.closing(connect(url, "paths")) as broker:
            assert not expected.exists()  # nothing is opened until it is used
            broker.ping()
            assert expected.exists()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "sqlite://file.db", "postgresql://h/db", "/file.db"])
def test_other_urls_are_a_wrong_setting(url: str) -> None:
    with pytest.raises(WrongSetting, match="BROKER_URL"):
        connect(url, "wrong")


# Shared by processes

_WORK = """
import sys
from common.messaging.connect import connect
from common.messaging.port import Message
from common.messaging.topology import Queue, Topology
url, exchange, queue, number = sys.argv[1:]
broker = connect(url, number)
broker.declare(Topology((exchange,), (Queue(queue, ((exchange, "#"),)),)))
publisher, subscription = broker.publisher(), broker.subscribe(Queue(queue, ((exchange, "#"),)), 10)
seen = []
for part in range(20):
    batch = [Message(f"{number}-{part}-{n}", "key", b"x" * 2000, {}, 0) for n in range(5)]
    assert publisher.publish(exchange, batch, 20.0) == [True] * 5
    taken = subscription.take(5, 0.0, 5.0)
    subscription.ack(taken)
    seen += [each.message.id for each in taken]
broker.close()
print("\\n".join(seen))
"""


def test_processes_share_a_file_that_all_of_them_create(embedded_broker_url: str, broker: Broker) -> None:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(python(_WORK, embedded_broker_url, EXCHANGE, QUEUE.name, str(n))) for n in range(4)]
        seen = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    everything = [id for ids in seen for id in ids]
    left = broker.depth(QUEUE.name)
    if left:
        everything += [each.message.id for each in take(broker.subscribe(QUEUE, 1000), left)]
    assert sorted(everything) == sorted(f"{n}-{part}-{k}" for n in range(4) for part in range(20) for k in range(5))


_HOLD = """
import sys, time
from common.messaging.connect import connect
from common.messaging.topology import Queue
subscription = connect(sys.argv[1], "holder").subscribe(Queue(sys.argv[2], ()), 10)
print(len(subscription.take(10, 0.0, 20.0)), flush=True)
time.sleep(600)
"""


def test_who_already_waits_gets_what_a_killed_process_held(embedded_broker_url: str, broker: Broker, path: Path) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(3))
    with python(_HOLD, embedded_broker_url, QUEUE.name) as holder, ThreadPoolExecutor(1) as pool:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "3\n"
        assert broker.depth(QUEUE.name) == 0
        subscription = broker.subscribe(QUEUE, 10)
        waiting = pool.submit(subscription.take, 10, 0.0, SOON)
        eventually(lambda: broker._used[-1] is subscription)  # type: ignore[attr-defined]
        holder.send_signal(signal.SIGKILL)
        again = waiting.result(SOON)
    assert names(again) == ["m0", "m1", "m2"]
    assert {each.attempts for each in again} == {1}
    subscription.ack(again)
    subscription.close()
    assert list(path.parent.glob("*-holder-*")) == []


def test_attempts_outlive_every_process(embedded_broker_url: str, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(1))
    for _ in range(3):  # a message that kills its consumer each time
        with python(_HOLD, embedded_broker_url, QUEUE.name) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "1\n"
            victim.kill()
    assert take(broker.subscribe(QUEUE, 10), 1)[0].attempts == 3


def test_a_waiting_consumer_is_woken_quickly(embedded_broker_url: str, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    subscription = broker.subscribe(QUEUE, 10)
    assert subscription.take(1, 0.0, 0.0) == []
    waits = []
    with contextlib.closing(connect(embedded_broker_url, "publisher")) as other, ThreadPoolExecutor(1) as pool:
        publisher = other.publisher()
        for each in messages(10):
            waiting = pool.submit(lambda: (subscription.take(1, 0.0, SOON), time.monotonic()))
            publisher.publish(EXCHANGE, [each], SOON)
            published = time.monotonic()
            taken, at = waiting.result(SOON)
            subscription.ack(taken)
            waits.append(at - published)
    assert sorted(waits)[5] < 0.1


# Replaced, damaged, full


def test_a_file_that_is_deleted_is_made_again_before_anything_is_published(
    broker: Broker, embedded_broker_url: str, path: Path
) -> None:
    broker.declare(TOPOLOGY)
    publisher, subscription = broker.publisher(), broker.subscribe(QUEUE, 10)
    publisher.publish(EXCHANGE, messages(2), SOON)
    stale = take(subscription, 2)
    for file in path.parent.iterdir():
        file.unlink()

    assert publisher.publish(EXCHANGE, messages(2, "new"), SOON) == [True, True]
    with contextlib.closing(connect(embedded_broker_url, "newcomer")) as newcomer:
        assert names(newcomer.browse(QUEUE.name, 10)) == ["new0", "new1"]
    subscription.ack(stale)  # the same numbers, of other messages
    fresh = take(subscription, 2)
    assert names(fresh) == ["new0", "new1"]
    subscription.ack(stale)
    subscription.close()
    assert broker.depth(QUEUE.name) == 2


def test_what_was_unbound_or_removed_stays_so_when_the_file_is_opened_anew(broker: Broker, path: Path) -> None:
    unbound, removed = Queue("unbound", ((EXCHANGE, "#"),)), Queue("removed", ((EXCHANGE, "#"),))
    broker.declare(Topology((EXCHANGE,), (QUEUE, unbound, removed)))
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), SOON)
    broker.unbind(unbound)
    broker.remove(removed, with_messages=True)
    for file in path.parent.iterdir():
        file.unlink()

    assert publisher.publish(EXCHANGE, messages(1, "new"), SOON) == [True]
    assert broker.depth(unbound.name) == 0
    assert publisher.publish("", [message("direct", unbound.name), message("nobody", removed.name)], SOON) == [True, False]


def test_a_tap_goes_on_in_a_file_that_is_made_anew(broker: Broker, path: Path) -> None:
    broker.declare(TOPOLOGY)
    tap, publisher = broker.tap(EXCHANGE), broker.publisher()
    publisher.publish(EXCHANGE, messages(1), SOON)
    for file in path.parent.iterdir():
        file.unlink()

    def sees() -> list[str]:
        publisher.publish(EXCHANGE, messages(1, "new"), SOON)
        return names(tap.take(0.0))

    assert set(eventually(sees)) == {"new0"}
    tap.close()
    assert list(path.parent.glob("*-holder-*")) == []


def test_a_file_of_the_release_before_taps_is_brought_up_to_date(broker: Broker, embedded_broker_url: str, path: Path) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(1))
    broker.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE tap")
        connection.execute("PRAGMA user_version = 1")
    with contextlib.closing(connect(embedded_broker_url, "newer")) as newer:
        assert newer.tap(EXCHANGE).take(0.0) == []
        assert names(newer.browse(QUEUE.name, 10)) == ["m0"]


@pytest.mark.parametrize("damage", ["garbage", "cut short", "folder", "newer"])
def test_a_file_that_cannot_be_used_is_unavailable_and_says_why(
    broker: Broker, embedded_broker_url: str, path: Path, damage: str
) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, [message("m", body=b"x" * 100_000)])
    broker.close()
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:9000])
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    reason = {"garbage": "not a database", "cut short": "malformed", "folder": "unable to open", "newer": "version 99"}[damage]

    with contextlib.closing(connect(embedded_broker_url, "after")) as after:
        with pytest.raises(Unavailable, match=reason):
            after.publisher().publish(EXCHANGE, messages(1), SOON)
        assert after.subscribe(QUEUE, 10).take(1, 0.0, 0.1) == []
        with pytest.raises(Unavailable, match=reason):
            after.browse(QUEUE.name, 10)


_FILL = """
import json, resource, signal, sys
from common.errors import Unavailable
from common.messaging.connect import connect
from common.messaging.port import Message
from common.messaging.topology import Queue, Topology
url, exchange, queue = sys.argv[1:]
broker = connect(url, "filler")
broker.declare(Topology((exchange,), (Queue(queue, ((exchange, "#"),)),)))
publisher = broker.publisher()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
confirmed, reasons = 0, []
for n in range(60):
    try:
        confirmed += sum(publisher.publish(exchange, [Message(str(n), "key", b"x" * 50_000, {"name": str(n)}, 0)], 5.0))
    except Unavailable as error:
        reasons.append(error.reason)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
confirmed += sum(publisher.publish(exchange, [Message("last", "key", b"", {"name": "last"}, 0)], 5.0))
print(json.dumps([confirmed, reasons]))
"""


def test_a_full_disk_refuses_batches_and_loses_none_that_was_confirmed(embedded_broker_url: str, broker: Broker) -> None:
    with python(_FILL, embedded_broker_url, EXCHANGE, QUEUE.name) as filler:
        output, _ = filler.communicate(timeout=60)
    confirmed, reasons = json.loads(output)
    assert reasons
    assert all("disk" in reason for reason in reasons)
    assert 5 < confirmed < 60
    assert names(take(broker.subscribe(QUEUE, 100), confirmed))[-1] == "last"
    assert broker.depth(QUEUE.name) == 0


def test_the_file_does_not_grow_with_what_went_through_it(broker: Broker, path: Path) -> None:
    broker.declare(TOPOLOGY)
    publisher, subscription = broker.publisher(), broker.subscribe(QUEUE, 1000)
    sizes = []
    for _ in range(30):
        publisher.publish(EXCHANGE, [message(str(n), body=b"x" * 20_000) for n in range(50)], SOON)
        subscription.ack(take(subscription, 50))
        sizes.append(sum(file.stat().st_size for file in path.parent.iterdir()))
    assert max(sizes) < 25_000_000  # 30 MB went through; the log may keep 16
    assert sizes[-1] <= max(sizes[:20])


def test_another_writer_is_waited_for_and_not_for_ever(broker: Broker, path: Path) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), SOON)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            publisher.publish(EXCHANGE, messages(1), 0.2)
        release = threading.Timer(0.3, writer.execute, ["ROLLBACK"])
        release.start()
        assert publisher.publish(EXCHANGE, messages(1), SOON) == [True]
        release.join()
    assert broker.depth(QUEUE.name) == 2


def test_an_ack_that_cannot_be_written_is_written_later(broker: Broker, path: Path) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(2))
    subscription = broker.subscribe(QUEUE, 10)
    taken = take(subscription, 2)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        subscription.ack(taken[:1])  # gives up waiting, complains, raises nothing
        writer.execute("ROLLBACK")
    assert subscription.take(1, 0.0, 0.0) == []
    subscription.close()
    assert names(take(broker.subscribe(Queue(QUEUE.name, ()), 10), 1)) == ["m1"]
