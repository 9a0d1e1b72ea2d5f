"""`rooms events tail` and `make events` as people start and end them."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.envelope import to_message
from common.messaging.connect import connect
from common.messaging.topology import ROOMS, TOPOLOGY
from rooms.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[4]
TAIL = ("-m", "rooms", "events", "tail")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def started(broker_url: str, *command: str, **settings: str) -> "subprocess.Popen[str]":
    """Once it watches."""
    environ = {"PATH": os.environ["PATH"], "BROKER_URL": broker_url} | settings
    process = subprocess.Popen([sys.executable, *command], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "watching rooms; Ctrl-C ends it\n"
    return process


def announce(broker_url: str, count: int = 1) -> None:
    """Publishes that a room was deleted."""
    codec = Codec(Catalogue.load())
    id = "0197f6a0-0000-7000-8000-000000000001"
    data = {"id": id, "version": 2, "url": "https://a.example/", "deleted_at": NOW}
    message = to_message(
        id="e-1", source="/rooms", type="RoomDeleted", subject=id, sequence=2, time=NOW, dataschema="", traceparent="",
        request_id="", body=codec.encode("RoomDeleted", data),
    )  # fmt: skip
    with closing(connect(broker_url, "rooms")) as broker:
        broker.declare(TOPOLOGY)
        assert all(broker.publisher().publish(ROOMS, [message] * count, 10))


def test_it_shows_each_event_in_a_line_until_it_is_interrupted(broker_url: str) -> None:
    with started(broker_url, *TAIL) as process:
        announce(broker_url)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.split("  ")[1:] == ["RoomDeleted", "0197f6a0-0000-7000-8000-000000000001", "v2", '"https://a.example/"\n']
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


def test_make_events_hands_its_arguments_on(embedded_broker_url: str) -> None:
    command = (str(REPOSITORY / "tools" / "events.py"),)
    with started(embedded_broker_url, *command, ARGS="--json --type 'RoomDeleted'") as process:
        announce(embedded_broker_url)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["data"]["version"] == 2
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


def test_a_reader_that_has_enough_ends_it(embedded_broker_url: str) -> None:
    with started(embedded_broker_url, *TAIL) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        announce(embedded_broker_url, count=2000)
        assert process.stderr.read() == ""
        assert process.wait(20) == 0


def test_a_broker_that_is_none_is_said_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "http://nowhere")
    assert main(["events", "tail"]) == 2
    assert capsys.readouterr().err.startswith("rooms: BROKER_URL: must be a URL that starts with sqlite://")
