"""What is counted belongs to one instance, or, with a directory, to all processes that share it."""

import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.observability.logs import Trouble
from common.observability.metrics import BulkItems, Consumed, ImportedLines, Metrics, Reading, Requests
from common.testing.metrics import sample, shows

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def test_two_instances_know_nothing_of_each_other():
    one, other = Metrics("toys"), Metrics("toys")
    Requests(other)
    Requests(one).answered("read", 200, 0.003)
    assert sample(one.exposed(), "http_requests_total", service="toys", operation="read", status="200") == 1
    assert sample(other.exposed(), "http_requests_total") == 0


def test_a_request_is_counted_and_timed():
    metrics = Metrics("toys")
    requests = Requests(metrics)
    for status in (200, 200, 404):
        requests.answered("read", status, 0.003)
    page = metrics.exposed()
    assert sample(page, "http_requests_total", operation="read", status="404") == 1
    assert sample(page, "http_request_seconds_count", operation="read") == 3
    assert sample(page, "http_request_seconds_sum") == pytest.approx(0.009)
    assert (
        sample(page, "http_request_seconds_bucket", le="0.0025"),
        sample(page, "http_request_seconds_bucket", le="0.005"),
    ) == (0, 3)


def test_what_each_part_counts():
    metrics = Metrics("toys")
    consumed = Consumed(metrics)
    consumed.took(["RoomCreated", "RoomCreated", "Heartbeat"])
    consumed.applied([("RoomCreated", NOW - timedelta(seconds=2)), ("Heartbeat", NOW + timedelta(seconds=9))], NOW)
    consumed.buried(["rejected"])
    BulkItems(metrics, "toys").add({"stale": 2})
    ImportedLines(metrics).add(["created", "invalid", "created"])
    page = metrics.exposed([Reading("outbox_pending", "waits", 7)])
    assert sample(page, "consumer_events_total", type="RoomCreated") == 2
    assert (sample(page, "consumer_batch_events_count"), sample(page, "consumer_batch_events_sum")) == (1, 3)
    assert sample(page, "freshness_seconds_sum", type="RoomCreated") == 2
    assert sample(page, "freshness_seconds_sum", type="Heartbeat") == 0, "nothing is fresher than now"
    assert sample(page, "consumer_dead_letters_total", reason="rejected") == 1
    assert (sample(page, "index_items_total", status="stale"), sample(page, "index_items_total", status="applied")) == (2, 0)
    assert (sample(page, "import_lines_total", outcome="created"), sample(page, "import_lines_total", outcome="invalid")) == (
        2,
        1,
    )
    assert sample(page, "outbox_pending", service="toys") == 7
    assert not shows(page, "outbox_oldest_seconds")


COUNTS = """
import os, sys
from common.observability.metrics import Metrics, Reading, Requests
metrics = Metrics("toys", os.environ["PROMETHEUS_MULTIPROC_DIR"])
requests = Requests(metrics)
for _ in range(int(sys.argv[1])):
    requests.answered("read", 200, 0.1)
sys.stdout.buffer.write(metrics.exposed([Reading("outbox_pending", "waits", 7)]))
sys.stdout.flush()
os._exit(9)
"""


def test_processes_that_share_a_directory_count_together_and_the_dead_are_not_forgotten(tmp_path: Path):
    pages = [
        subprocess.run(
            [sys.executable, "-c", COUNTS, str(count)],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            check=False,
            timeout=60,
        ).stdout
        for count in (4, 6)
    ]
    assert [sample(page, "http_requests_total", operation="read") for page in pages] == [4, 4 + 6]
    assert sample(pages[1], "http_request_seconds_count") == 10
    assert sample(pages[1], "outbox_pending") == 7, "a gauge is not added up"


def test_a_warning_that_lasts_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture):
    trouble = Trouble(logging.getLogger("test"))
    with caplog.at_level("INFO"):
        for text in ("waiting: a", "waiting: a", "waiting: b", "waiting: b"):
            trouble.warn(text, queue="q")
        trouble.over()
        trouble.over()
        trouble.warn("waiting: b")
    assert [record.message for record in caplog.records] == ["waiting: a", "waiting: b", "no longer: waiting: b", "waiting: b"]
