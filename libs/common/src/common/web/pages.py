"""The few pages people look at: the front page, what a problem means, and the document with Swagger UI."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

import orjson
import yaml
from connexion.middleware.swagger_ui import SwaggerUIMiddleware
from connexion.options import SwaggerUIOptions
from connexion.spec import Specification
from starlette.types import ASGIApp, Receive, Scope, Send

from common.web.problems import KINDS, Problem

_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"


_YAML: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 130}


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places twice: aliases are hard to read."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def front_page(name: str, specification: Specification) -> ASGIApp:
    """`/`: links to Swagger UI, the document and health."""
    base = specification.base_path
    info = specification["info"]
    links = {
        f"{base}/ui/": "Try it in Swagger UI",
        f"{base}/openapi.json": "The OpenAPI document (JSON)",
        f"{base}/openapi.yaml": "The OpenAPI document (YAML)",
        "/health-check": "Health of this service and its neighbours",
    }
    items = "".join(f'<li><a href="{escape(href)}">{escape(text)}</a></li>' for href, text in links.items())
    return _html(
        escape(info["title"]),
        f"<p>The service <b>{escape(name)}</b>, version {escape(str(info['version']))}.</p><ul>{items}</ul>",
    )


async def problem_page(scope: Scope, receive: Receive, send: Send) -> None:
    """`/problems/{name}`: what a problem of this type means."""
    kind = KINDS.get(scope["path_params"]["name"])
    if kind is None:
        raise Problem("no-such-path")
    await _html(escape(kind.title), f"<p>Status {kind.status}.</p><p>{_with_code(kind.meaning)}</p>")(scope, receive, send)


def _with_code(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def documents(specification: Specification, document: Mapping[str, Any]) -> dict[str, ASGIApp]:
    """The document as it is shown, by path; rendered once, since connexion would do so for each request."""
    base = specification.base_path
    return {
        f"{base}/openapi.json": _fixed(orjson.dumps(document, default=str), b"application/json"),
        f"{base}/openapi.yaml": _fixed(yaml.dump(document, Dumper=_Plain, **_YAML).encode(), b"application/yaml"),
        "/ui": _redirect(f"{base}/ui/"),
    }


class SwaggerUI:
    """Swagger UI below `<base>/ui/`, from connexion and the files of swagger-ui-bundle: nothing is loaded from elsewhere."""

    def __init__(self, specification: Specification) -> None:
        self._prefix = f"{specification.base_path}/ui"
        self._app = SwaggerUIMiddleware(_nothing_here)
        options = SwaggerUIOptions(serve_spec=False, swagger_ui_config={"displayRequestDuration": True, "tryItOutEnabled": True})
        self._app.add_api(specification, swagger_ui_options=options)

    def owns(self, path: str) -> bool:
        return path == self._prefix or path.startswith(f"{self._prefix}/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem("method-not-allowed", headers=(("Allow", "GET, HEAD, OPTIONS"),))
        # With an `app` in the scope, Starlette raises its errors instead of answering them in plain text.
        await self._app({**scope, "app": self}, receive, send)


async def _nothing_here(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Problem("no-such-path")


def _html(title: str, content: str) -> ASGIApp:
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    page = f'<!doctype html><html lang="en">{head}<h1>{title}</h1>{content}</html>'
    return _fixed(page.encode(), b"text/html; charset=utf-8")


def _fixed(body: bytes, content_type: bytes) -> ASGIApp:
    async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return serve


def _redirect(to: str) -> ASGIApp:
    async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 302, "headers": [(b"location", to.encode()), (b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b""})

    return serve
