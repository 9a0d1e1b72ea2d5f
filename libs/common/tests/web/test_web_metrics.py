"""/metrics: what was asked and how it ended, by operation; a gauge that hangs holds nobody up."""

import threading
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import httpx
import pytest

from common.errors import Unavailable
from common.observability.metrics import Metrics, Reading
from common.testing.metrics import sample, shows
from common.testing.waiting import eventually
from common.web import metrics as metrics_page
from common.web.health import Check, Report
from common.web.serve import running
from common.web.worker import worker_app


def page_of(client: httpx.Client) -> str:
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return answer.text


def test_requests_are_counted_by_operation_and_status(toys: ModuleType) -> None:
    with running(toys.toy_app()) as server, httpx.Client(base_url=server.url) as client:
        made = client.post("/v1.0/toys", json={"name": "a", "price": 1}).json()
        client.get(f"/v1.0/toys/{made['id']}")
        client.get("/v1.0/toys/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11")
        client.post("/v1.0/toys", json={})
        client.post("/v1.0/toys", json={"name": "bomb", "price": 1})
        client.post("/v1.0/toys/import", content=b"{}\n", headers={"Content-Type": "application/x-ndjson"})
        page = page_of(client)
    counted = {
        ("create_toy", "201"): 1,
        ("create_toy", "400"): 1,
        ("create_toy", "500"): 1,
        ("read_toy", "200"): 1,
        ("read_toy", "404"): 1,
        ("import_toys", "200"): 1,
    }
    for (operation, status), count in counted.items():
        assert sample(page, "http_requests_total", service="toys", operation=operation, status=status) == count, operation
    assert sample(page, "http_request_seconds_count", operation="create_toy") == 3
    assert sample(page, "http_request_seconds_sum", operation="create_toy") > 0


def test_what_clients_make_up_is_one_label(toys: ModuleType) -> None:
    with running(toys.toy_app()) as server, httpx.Client(base_url=server.url) as client:
        for number in range(20):
            client.get(f"/nothing/{number}")
            client.delete("/v1.0/toys")
        page = page_of(client)
    assert sample(page, "http_requests_total", operation="other", status="404") == 20
    assert sample(page, "http_requests_total", operation="other", status="405") == 20
    assert len([line for line in page.splitlines() if line.startswith("atrium_http_requests_total")]) == 2


def test_a_gauge_that_hangs_or_fails_is_missing_and_the_page_comes(
    toys: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics_page, "ASK_SECONDS", 0.3)
    go, asked = threading.Event(), []

    def hangs() -> Sequence[Reading]:
        asked.append(1)
        go.wait(20)
        return [Reading("slow", "comes late", 1)]

    def fails() -> Sequence[Reading]:
        raise Unavailable("the database")

    gauges = [hangs, fails, lambda: [Reading("well", "answers", 5)]]
    with running(toys.toy_app(gauges=gauges)) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            began = time.monotonic()
            page = page_of(client)
            assert time.monotonic() - began < 15
            assert (shows(page, "slow"), shows(page, "failing"), sample(page, "well")) == (False, False, 5)
        assert len(asked) == 1, "who hangs holds one thread only"
        go.set()
        eventually(lambda: shows(page_of(client), "slow"))
    warnings = [
        record.message for record in caplog.records if record.name == "common.web.metrics" and record.levelname == "WARNING"
    ]
    assert sorted(warnings) == [
        "a gauge is missing from /metrics: no answer within 0.3 seconds",
        "a gauge is missing from /metrics: the database is not available",
    ]


def test_a_worker_without_an_api_has_pages_of_its_own() -> None:
    metrics = Metrics("toys")
    metrics.counter("wound_up", "Toys wound up")().inc(3)
    down: list[Any] = []

    def shelf() -> None:
        if down:
            raise Unavailable("the shelf")

    app = worker_app("toys", metrics, checks=[Check("shelf", shelf)], gauges=[lambda: [Reading("well", "answers", 5)]])
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        assert sample(page_of(client), "wound_up_total", service="toys") == 3
        assert sample(page_of(client), "well") == 5
        assert (client.get("/livez").status_code, client.get("/readyz").status_code) == (200, 200)
        down.append(1)
        assert client.get("/readyz").status_code == 503
        assert client.get("/v1.0/toys").status_code == 404
        assert client.post("/metrics").status_code == 405


def test_a_neighbour_that_answers_may_still_be_unwell(toys: ModuleType) -> None:
    checks = [
        Check("box", lambda: Report({"toys": 3}, "the box is full"), required=False),
        Check("shelf", lambda: Report({"toys": 1})),
    ]
    with running(toys.toy_app(checks=checks)) as server:
        document = httpx.get(f"{server.url}/health-check").json()
    assert document["status"] == "degraded"
    assert document["checks"] == {
        "box": {"status": "degraded", "detail": "the box is full", "toys": 3},
        "shelf": {"status": "ok", "detail": "", "toys": 1},
    }
