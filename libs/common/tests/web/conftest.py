"""A toy service in the shape of the real ones, served over real HTTP for the tests of common.web."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import flask
import httpx
import orjson
import pytest
import yaml
from hypothesis import settings
from injector import Binder, Injector, inject, singleton

from common.errors import Conflict, Invalid, NotFound, Unavailable
from common.observability import current
from common.web import conditions, merge_patch
from common.web.app import Application, create_app
from common.web.consistency import still_pending
from common.web.health import Check
from common.web.serve import HttpServer, running
from common.web.streaming import Line, Stream, TooLong, ndjson
from common.web.validation import parse_json, schema_validator

# How long one example takes says nothing on a machine that is busy with servers.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

SPEC = Path(__file__).parent / "toy.yaml"
valid = schema_validator(SPEC, "Toy")


@dataclass
class Toys:
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, id: str) -> dict[str, Any]:
        if id not in self.kept:
            raise NotFound(id)
        return self.kept[id]

    def add(self, toy: dict[str, Any]) -> dict[str, Any]:
        for each in self.kept.values():
            if each.get("url") == toy.get("url", object()):
                raise Conflict("url", each["id"])
        made = toy | {"id": str(uuid4()), "version": 1}
        self.kept[made["id"]] = made
        return made


@inject
@dataclass(frozen=True)
class ToysController:
    toys: Toys

    def list_toys(self, limit: int, **given: Any) -> dict[str, Any]:
        return {"limit": limit, **given, **still_pending(flask.request.environ["asgi.scope"])}

    def create_toy(self, body: dict[str, Any]) -> tuple[Any, ...]:
        match body["name"]:
            case "bomb":
                raise RuntimeError("secret")
            case "out":
                raise Unavailable("shelf", "postgresql://user:secret@db", 7)
        toy = self.toys.add(body)
        return toy, 201, {"Location": f"/v1.0/toys/{toy['id']}", "ETag": conditions.etag(1)}

    def read_toy(self, toy_id: str) -> Any:
        toy = self.toys.get(toy_id)
        if conditions.not_modified(flask.request.headers.get("If-None-Match"), toy["version"]):
            return conditions.not_modified_answer(toy["version"])
        return toy, 200, {"ETag": conditions.etag(toy["version"])}

    def replace_toy(self, toy_id: str, body: dict[str, Any]) -> Any:
        toy = self.toys.get(toy_id)
        conditions.require_version(conditions.expected_versions(flask.request.headers.get("If-Match")), toy_id, toy["version"])
        toy = self.toys.kept[toy_id] = body | {"id": toy_id, "version": toy["version"] + 1}
        return toy, 200, {"ETag": conditions.etag(toy["version"])}

    def patch_toy(self, toy_id: str, body: dict[str, Any]) -> Any:
        toy = merge_patch.apply(self.toys.get(toy_id), body)
        if errors := valid(toy):
            raise Invalid(errors)
        return toy

    def delete_toy(self, toy_id: str) -> Any:
        self.toys.get(toy_id)
        del self.toys.kept[toy_id]
        return None, 204


def imported(lines: "list[Line] | Any") -> list[bytes]:
    outcomes = []
    for number, line in lines:
        if isinstance(line, TooLong):
            outcomes.append({"line": number, "outcome": "invalid", "problem": "too long"})
            continue
        if line == b"stop":
            raise Unavailable("shelf")
        try:
            outcomes.append({"line": number, "outcome": "created", "toy": parse_json(line), "request": current().request_id})
        except Invalid as error:
            outcomes.append({"line": number, "outcome": "invalid", "problem": str(error)})
    return [orjson.dumps(outcome) for outcome in outcomes]


def bindings(binder: Binder) -> None:
    binder.bind(Toys, scope=singleton)


def handler(_: Injector) -> Any:
    return ndjson(imported)


def views(app: flask.Flask) -> None:
    @app.get("/count/")
    def count(toys: Toys) -> str:
        return str(len(toys.kept))


def toy_app(*modules: Any, **options: Any) -> Application:
    streams = [Stream("POST", "/toys/import", handler)]
    defaults = {"spec": SPEC, "streams": streams, "views": views, "location": "/v1.0/toys/{}".format}
    return create_app(name="toys", controller=ToysController, modules=[bindings, *modules], **(defaults | options))


WRITES = {"post": "toys:write", "put": "toys:write", "patch": "toys:write", "delete": "admin"}


def protected_spec(file: Path) -> Path:
    """The toy's document, written to `file`, with writes that want a scope, and reads that do without a token."""
    document = yaml.safe_load(SPEC.read_text())
    flow = {"tokenUrl": "/token", "scopes": {"toys:write": "change toys", "admin": "everything"}}
    document["components"]["securitySchemes"] = {"oauth": {"type": "oauth2", "flows": {"clientCredentials": flow}}}
    for item in document["paths"].values():
        for method in item.keys() - {"parameters"}:
            scope = WRITES.get(method)
            item[method]["security"] = [{"oauth": [scope]}] if scope else [{"oauth": []}, {}]
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """This module: the repository, the controller, and `toy_app`."""
    return sys.modules[__name__]


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with running(toy_app(checks=[Check("shelf", lambda: None)], cors_origins=("https://shop.example",))) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: HttpServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client
