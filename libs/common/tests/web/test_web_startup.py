"""An application that cannot work does not start; a server takes its port, stops soon, and health never hangs."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml
from connexion.exceptions import InvalidSpecification, ResolverError

from common.errors import WrongSetting
from common.web import health
from common.web.app import Application, create_app
from common.web.health import Check
from common.web.serve import HttpServer, running


def changed(toys: ModuleType, folder: Path, change: Callable[[dict[str, Any]], None]) -> Callable[[], Application]:
    document = yaml.safe_load(toys.SPEC.read_text())
    change(document)
    spec = folder / "openapi.yaml"
    spec.write_text(yaml.safe_dump(document))
    return lambda: toys.toy_app(spec=spec)  # type: ignore[no-any-return]


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "no method": (lambda d: d["paths"]["/toys"]["get"].update(operationId="nope"), ResolverError, "nope"),
    "no operationId": (lambda d: d["paths"]["/toys"]["get"].pop("operationId"), Exception, "None"),
    "operationId twice": (lambda d: d["paths"]["/toys"]["get"].update(operationId="create_toy"), ValueError, "create_toy"),
    "no info": (lambda d: d.pop("info"), InvalidSpecification, "info"),
    "bad reference": (
        lambda d: d["components"]["schemas"]["Toy"]["properties"].update(x={"$ref": "#/components/schemas/Nope"}),
        Exception,
        "Nope",
    ),
    "bad pattern": (
        lambda d: d["components"]["schemas"]["Toy"]["properties"]["name"].update(pattern="("),
        ValueError,
        "create_toy|POST",
    ),
    "bad type": (lambda d: d["components"]["schemas"]["Toy"]["properties"]["name"].update(type="text"), Exception, "text"),
    "argument missing": (
        lambda d: d["paths"]["/toys/{toy_id}"]["delete"].update(
            parameters=[{"name": "why", "in": "query", "schema": {"type": "string"}}]
        ),
        ValueError,
        "why",
    ),
    "cookie": (
        lambda d: d["paths"]["/toys"]["get"]["parameters"].append({"name": "c", "in": "cookie", "schema": {"type": "string"}}),
        ValueError,
        "parameter c",
    ),
    "stream without operation": (lambda d: d["paths"].pop("/toys/import"), ValueError, "/toys/import"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_document_is_refused_before_the_port_is_taken(toys: ModuleType, tmp_path: Path, case: str) -> None:
    change, error, names = BROKEN[case]
    build = changed(toys, tmp_path, change)
    with pytest.raises(error, match=names):
        build()


def test_the_document_as_it_is_starts(toys: ModuleType, tmp_path: Path) -> None:
    assert changed(toys, tmp_path, lambda _: None)().name == "toys"


def test_a_parameter_that_would_hide_a_built_in_may_be_spelt_with_an_underscore(toys: ModuleType, tmp_path: Path) -> None:
    class Controller:
        def list_toys(self, id_: int, format: str = "json") -> Any:
            return {"id": id_, "format": format}

    spec = tmp_path / "openapi.yaml"
    spec.write_text("""
openapi: 3.0.3
info: {title: x, version: "1"}
paths:
  /toys:
    get:
      operationId: list_toys
      parameters:
        - {name: id, in: query, required: true, schema: {type: integer}}
        - {name: format, in: query, schema: {type: string}}
      responses: {"200": {description: ok}}
""")
    with running(create_app(name="x", spec=spec, controller=Controller, modules=[])) as server:
        assert httpx.get(f"{server.url}/toys?id=3").json() == {"id": 3, "format": "json"}
        assert httpx.get(f"{server.url}/toys").json()["errors"] == [{"in": "query", "name": "id", "detail": "is missing"}]


def test_a_taken_port_is_named_with_its_setting(toys: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WrongSetting, match=rf"^TOYS_PORT: port {port} on 127\.0\.0\.1 is taken$"):
            HttpServer(toys.toy_app(), "127.0.0.1", port, setting="TOYS_PORT")


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99999), ("203.0.113.7", 0), ("no.such.host.invalid", 0)])
def test_an_address_that_cannot_be_had_is_a_wrong_setting(toys: ModuleType, host: str, port: int) -> None:
    with pytest.raises(WrongSetting, match=r"^PORT: "):
        HttpServer(toys.toy_app(), host, port)


def test_idle_connections_do_not_delay_the_stop_and_requests_under_way_are_finished(toys: ModuleType) -> None:
    entered, go = threading.Event(), threading.Event()

    class Slow(toys.Toys):  # type: ignore[name-defined,misc]
        def add(self, toy: dict[str, Any]) -> dict[str, Any]:
            entered.set()
            assert go.wait(10)
            return super().add(toy)  # type: ignore[no-any-return]

    answers: list[int] = []
    server = HttpServer(toys.toy_app(lambda binder: binder.bind(toys.Toys, to=Slow())), "127.0.0.1", 0)
    serving = threading.Thread(target=server.run)
    serving.start()
    with httpx.Client(base_url=server.url) as idle, httpx.Client(base_url=server.url) as busy:
        assert idle.get("/livez").status_code == 200  # and stays connected
        posting = threading.Thread(
            target=lambda: answers.append(busy.post("/v1.0/toys", json={"name": "a", "price": 1}).status_code)
        )
        posting.start()
        assert entered.wait(10)
        began = time.monotonic()
        server.stop()
        go.set()
        posting.join(10)
        serving.join(10)
    assert answers == [201]
    assert time.monotonic() - began < 3
    assert not serving.is_alive()


def test_stop_before_run_ends_it_at_once(toys: ModuleType) -> None:
    server = HttpServer(toys.toy_app(), "127.0.0.1", 0)
    server.stop()
    thread = threading.Thread(target=server.run)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def failing() -> None:
    raise ConnectionError("refused\nand a page of driver text")


@pytest.mark.parametrize(
    ("checks", "overall", "status", "ready"),
    [
        ([], "ok", 200, 200),
        ([Check("db", lambda: None), Check("broker", lambda: None, required=False)], "ok", 200, 200),
        ([Check("db", lambda: None), Check("broker", failing, required=False)], "degraded", 200, 200),
        ([Check("db", failing), Check("broker", lambda: None, required=False)], "down", 503, 503),
    ],
)
def test_health_tells_each_neighbour(toys: ModuleType, checks: list[Check], overall: str, status: int, ready: int) -> None:
    with running(toys.toy_app(checks=checks, version="9.9")) as server, httpx.Client(base_url=server.url) as client:
        page = client.get("/health-check")
        assert (page.status_code, page.json()["status"]) == (status, overall)
        assert (page.json()["service"], page.json()["version"]) == ("toys", "9.9")
        assert page.json()["checks"] == {
            check.name: {"status": "down", "detail": "refused"} if check.probe is failing else {"status": "ok", "detail": ""}
            for check in checks
        }
        assert client.get("/readyz").status_code == ready
        assert client.get("/livez").status_code == 200


def test_a_neighbour_that_hangs_is_down_and_holds_one_thread_only(toys: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.5)
    go, calls = threading.Event(), []

    def hangs() -> None:
        calls.append(1)
        go.wait(20)

    checks = [Check("hangs", hangs), Check("well", lambda: None)]
    with running(toys.toy_app(checks=checks)) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            began = time.monotonic()
            page = client.get("/health-check")
            assert time.monotonic() - began < 2
            assert page.status_code == 503
            assert page.json()["checks"]["hangs"]["status"] == "down"
            assert page.json()["checks"]["well"]["status"] == "ok"
        assert len(calls) == 1
        go.set()
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
