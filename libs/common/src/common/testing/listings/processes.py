"""A service's processes as people start and end them: `events tail`, and what `all` says of itself."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.envelope import to_message
from common.messaging.connect import connect
from common.messaging.topology import TOPOLOGY
from common.testing.listings.command_line import Run
from common.testing.listings.tested import NOW, Tested
from common.testing.system import free_port

_ID = "0197f6a0-0000-7000-8000-000000000001"


def watching(tested: Tested, broker_url: str, *command: str, **settings: str) -> "subprocess.Popen[str]":
    """Once it watches. The command is `events tail`, unless another one is given."""
    environ = {"PATH": os.environ["PATH"], "BROKER_URL": broker_url} | settings
    words = [sys.executable, *(command or ("-m", tested.service.name, "events", "tail"))]
    process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == f"watching {tested.service.name}; Ctrl-C ends it\n"
    return process


def announce(tested: Tested, broker_url: str, count: int = 1) -> None:
    """Publishes that a listing was deleted."""
    codec, type = Codec(Catalogue.load()), tested.event("Deleted")
    data = {"id": _ID, "version": 2, "url": "https://a.example/", "deleted_at": NOW}
    told: dict[str, Any] = {
        "id": "e-1",
        "source": f"/{tested.service.name}",
        "type": type,
        "subject": _ID,
        "sequence": 2,
        "time": NOW,
    }
    message = to_message(**told, dataschema="", traceparent="", request_id="", body=codec.encode(type, data))
    with closing(connect(broker_url, tested.service.name)) as broker:
        name, topology = tested.service.name, TOPOLOGY.publishing(tested.service.name)
        broker.declare(topology)
        assert all(broker.publisher().publish(name, [message] * count, 10, mandatory=topology.hears(name)))


class TestEventsTail:
    def test_it_shows_each_event_in_a_line_until_it_is_interrupted(self, tested: Tested, broker_url: str) -> None:
        with watching(tested, broker_url) as process:
            announce(tested, broker_url)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.split("  ")[1:] == [tested.event("Deleted"), _ID, "v2", '"https://a.example/"\n']
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0

    def test_a_reader_that_has_enough_ends_it(self, tested: Tested, embedded_broker_url: str) -> None:
        with watching(tested, embedded_broker_url) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            announce(tested, embedded_broker_url, count=2000)
            assert process.stderr.read() == ""
            assert process.wait(20) == 0

    def test_a_broker_that_is_none_is_said_in_one_line(self, run: Run, tested: Tested) -> None:
        status, _, said = run("events", "tail", BROKER_URL="http://nowhere")
        assert (status, said.startswith(f"{tested.service.name}: BROKER_URL: must be a URL that starts with sqlite://")) == (
            2,
            True,
        )


class TestAnnouncing:
    def test_it_says_where_it_listens_and_what_it_uses_but_no_password(self, tested: Tested, tmp_path: Path) -> None:
        port, name = free_port(), tested.service.name
        environ = {"PATH": os.environ["PATH"], "LOG_LEVEL": "info", "LOG_FORMAT": "json", "DATA_DIR": str(tmp_path)}
        environ |= {"BROKER_URL": "amqp://guest:secret@127.0.0.1:1/", **tested.port(port)}
        subprocess.run([sys.executable, "-m", name, "migrate"], env=environ, check=True, timeout=60)
        with subprocess.Popen([sys.executable, "-m", name, "all"], env=environ, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            lines = [process.stderr.readline(), process.stderr.readline()]
            process.terminate()
            _, rest = process.communicate(timeout=30)
        database, workers = f"sqlite:///{tmp_path}/{name}.db", ", ".join(tested.service.all_workers)
        assert [json.loads(line)["message"] for line in lines] == [
            f"listening on http://127.0.0.1:{port}; database {database}, broker amqp://127.0.0.1:1/",
            f"{workers} between {database} and amqp://127.0.0.1:1/",
        ]
        assert process.returncode == 0
        assert "Traceback" not in rest
        assert "secret" not in rest

    @pytest.mark.parametrize("command", ["api", "relay", "all"])
    def test_a_database_that_is_not_migrated_is_said_in_one_line(
        self, run: Run, tested: Tested, sqlite_url: str, command: str
    ) -> None:
        name = tested.service.name
        reason = f"the database has an older schema, or none; run `{name} migrate`"
        status, out, said = run(command, DATABASE_URL=sqlite_url, LOG_LEVEL="ERROR")
        assert (status, out, said) == (2, b"", f"{name}: DATABASE_URL: {reason}\n")
