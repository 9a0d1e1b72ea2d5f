"""Who may do what, in every service that takes writes: each operation with each kind of token, on embedded and on real backends."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

import items.bootstrap
import rooms.bootstrap
from common.config import load
from common.db.doorbell import Doorbell
from common.listings.service import Service
from common.messaging.port import Broker
from common.testing.servers import Stack
from common.testing.tokens import REFUSED, TestIssuer, bearer
from common.web.serve import running

ID = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
LISTING = {
    "rooms": {
        "name": "Attic",
        "description": "Quiet",
        "price": 650,
        "recurrency": "monthly",
        "provider": "example",
        "coordinates": {"lat": 52.5, "lon": 13.4},
    },
    "items": {"name": "First item"},
}
ISSUER = TestIssuer()


@dataclass(frozen=True)
class Api:
    """A service behind the guard, and its operations."""

    name: str
    client: httpx.Client

    def operations(self) -> Iterator[tuple[str, str, str | None]]:
        """Method, path and the scope that it needs, if any."""
        document = self.client.get("/v1.0/openapi.json").json()
        for path, item in document["paths"].items():
            for method in item.keys() - {"parameters"}:
                needs = item[method]["security"]
                scope = None if {} in needs else next(need["oauth"][0] for need in needs if "oauth" in need)
                yield method.upper(), "/v1.0" + path.replace("{id}", ID), scope

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        return self.client.request(method, path, headers={} if token is None else bearer(token), **more)

    def publish(self, subject: str, **fields: Any) -> str:
        """The path of a new listing of theirs."""
        listing = LISTING[self.name] | {"url": f"https://{subject}.example/1"} | fields
        answer = self.ask("POST", f"/v1.0/{self.name}", ISSUER.token(subject, f"{self.name}:write"), json=listing)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]


@pytest.fixture(params=[rooms.bootstrap.SERVICE, items.bootstrap.SERVICE], ids=["rooms", "items"])
def api(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[Api]:
    service: Service = request.param
    urls = {"DATABASE_URL": stack.database_url, "BROKER_URL": stack.broker_url}
    config = load(service.config, {"DATA_DIR": str(tmp_path)} | urls | ISSUER.environment(tmp_path / "jwks.json"))
    service.migrate(config)
    app = service.http(config)
    with running(app) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield Api(service.name, client)
    app.injector.get(Doorbell).close()
    app.injector.get(Broker).close()
    app.injector.get(Engine).dispose()


def test_every_operation_refuses_every_kind_of_token_that_is_nobodys(api: Api) -> None:
    operations = list(api.operations())
    assert len(operations) >= 9
    for method, path, _ in operations:
        for kind in REFUSED:
            answer = api.ask(method, path, ISSUER.refused(kind))
            assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized"), f"{method} {path}: {kind}"


def test_what_needs_a_scope_is_refused_without_it_and_the_rest_needs_no_token(api: Api) -> None:
    for method, path, scope in api.operations():
        statuses = [api.ask(method, path, token).status_code for token in (None, ISSUER.token(scopes="other:write"))]
        if scope is None:
            assert set(statuses) <= {200, 404}, f"{method} {path}"
        else:
            assert statuses == [401, 403], f"{method} {path}"
            assert api.ask(method, path, ISSUER.token(scopes=scope)).status_code not in (401, 403), f"{method} {path}"


def test_what_looks_at_every_listing_is_for_admin_alone(api: Api) -> None:
    """It takes as long as there are many, and tells of hidden ones."""
    admins = {path for _, path, scope in api.operations() if scope == "admin"}
    assert admins == {f"/v1.0/{api.name}/export", f"/v1.0/{api.name}/summary"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_listing_belongs_to_who_wrote_it(api: Api, method: str) -> None:
    path, scope = api.publish("ann"), f"{api.name}:write"
    more = {"PUT": {"json": LISTING[api.name] | {"url": "https://ann.example/1"}}, "PATCH": {"json": {"name": "Other"}}}
    assert api.ask(method, path, ISSUER.token("bob", scope), **more.get(method, {})).status_code == 403
    assert api.ask(method, path, ISSUER.token("ann", scope), **more.get(method, {})).status_code in (200, 204)
    if method != "DELETE":
        assert api.ask(method, path, ISSUER.token("root", "admin"), **more.get(method, {})).status_code == 200


def test_a_hidden_listing_is_there_for_its_owner_and_admin_alone(api: Api) -> None:
    path = api.publish("ann", is_visible=False)
    askers = [None, ISSUER.token("bob"), ISSUER.token("ann"), ISSUER.token("root", "admin")]
    assert [api.ask("GET", path, token).status_code for token in askers] == [404, 404, 200, 200]
    assert [len(api.ask("GET", f"/v1.0/{api.name}", token).json()) for token in askers] == [0, 0, 1, 1]


def test_an_import_says_which_lines_are_somebody_elses(api: Api) -> None:
    api.publish("ann")
    lines = b"".join(
        httpx.Request("POST", "http://x", json=LISTING[api.name] | {"name": "Mine", "url": url}).content + b"\n"
        for url in ("https://ann.example/1", "https://bob.example/1")
    )
    headers = bearer(ISSUER.token("bob", f"{api.name}:write")) | {"Content-Type": "application/x-ndjson"}
    answer = api.client.post(f"/v1.0/{api.name}/import", content=lines, headers=headers)
    assert '"outcome":"forbidden"' in answer.text.splitlines()[0]
    assert '"outcome":"created"' in answer.text.splitlines()[1]
