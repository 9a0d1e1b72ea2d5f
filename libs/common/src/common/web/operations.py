"""One operation of the document, compiled: content type, parameters and body checked, handler called, answer written.

All of it runs in the handler's thread, so that a large body does not hold up the loop.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flask
import orjson
from connexion.operations import AbstractOperation
from werkzeug.datastructures import Headers
from werkzeug.routing import Rule

from common.errors import Invalid
from common.web.bridge import OPERATION
from common.web.json_input import parse_json
from common.web.parameters import Parameters, bind_arguments
from common.web.problems import Problem
from common.web.schemas import MAX_ERRORS, Schema

_SECURITY = ("user", "token_info")  # what connexion's security layer may hand to a handler


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to its operation: raw path parameters, the body as it came, what security found."""

    operation: "Operation"
    path: Mapping[str, str]
    body: bytes
    security: Mapping[str, Any]


class Operation:
    """A Flask view for one operation. Raises ValueError where the document and the handler do not fit."""

    def __init__(
        self, operation: AbstractOperation, raw: Mapping[str, Any], components: Mapping[str, Any], handler: Callable[..., Any]
    ) -> None:
        """`raw` is the operation as the document has it, with its `$ref`s; `operation` is connexion's, resolved."""
        self.handler = handler
        self.rule: Rule | None = None  # Flask's, once it is registered
        self.parameters = Parameters(unique_parameters(operation), components, api_keys(operation))
        request_body = operation.request_body or {}
        content = request_body.get("content", {})
        raw_content = raw.get("requestBody", {}).get("content", content)
        self._required = bool(request_body.get("required"))
        self._accepts = tuple(content)
        self._bodies = {media: Schema(raw_content[media].get("schema", {}), components) for media in content if _is_json(media)}
        accepted = inspect.signature(handler).parameters
        self._names = bind_arguments(self.parameters, handler, bool(content), accepted)
        self._renames = any(name != spelling for name, spelling in self._names.items())
        self._security = tuple(name for name in _SECURITY if name in accepted)
        self._mimetype = next(
            (media for media in operation.produces if not media.startswith("application/problem")), "application/json"
        )

    def __call__(self, **_: str) -> flask.Response:
        call: Call = flask.request.environ[OPERATION]
        arguments, errors = self.parameters.read(
            call.path, flask.request.query_string.decode("latin-1"), flask.request.headers.get
        )
        if self._accepts:
            try:
                body = self._body(call.body)
            except Invalid as error:
                errors += error.errors
            else:
                arguments["body"] = body
        if errors:
            raise Invalid(tuple(errors[:MAX_ERRORS]))
        if self._renames:
            arguments = {self._names[name]: value for name, value in arguments.items()}
        for name in self._security:
            arguments[name] = call.security.get(name)
        return self._answer(self.handler(**arguments))

    def _body(self, data: bytes) -> Any:
        if not data:
            if self._required:
                raise Invalid.field("", "a body is required")
            return None
        media = self._media_type()
        schema = self._bodies.get(media)
        if schema is None:
            return data
        body = parse_json(data)
        if errors := schema.errors(body):
            raise Invalid(errors)
        if schema.read_only and isinstance(body, dict):
            body = {name: value for name, value in body.items() if name not in schema.read_only}
        return body

    def _media_type(self) -> str:
        """The one of ours that the Content-Type header names. Raises Problem 415."""
        request = flask.request
        media = request.mimetype
        charset = request.mimetype_params.get("charset", "utf-8").lower()
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        if media not in self._accepts:
            raise unsupported_media_type(
                self._accepts,
                (f"{media[:100]} is not accepted" if media else "The Content-Type header is missing")
                + f"; send {' or '.join(self._accepts)}",
            )
        if charset not in ("utf-8", "utf8", "us-ascii"):
            raise unsupported_media_type(self._accepts, f"The charset must be UTF-8, not {charset[:40]}")
        if encoding != "identity":
            raise unsupported_media_type(self._accepts, f"The content encoding {encoding[:40]} is not accepted")
        return media

    def _answer(self, returned: Any) -> flask.Response:
        body, status, headers = returned, 200, None
        if isinstance(returned, tuple):
            body, status, headers = (*returned, None)[:3] if len(returned) == 2 else returned
        if isinstance(body, flask.Response):
            return body
        content: bytes | str
        if body is None and (status in (204, 304) or status < 200):
            content = b""
        elif isinstance(body, bytes) or (isinstance(body, str) and not _is_json(self._mimetype)):
            content = body
        else:
            content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
        response = flask.Response(content, status, Headers(headers or {}))
        if not content and status in (204, 304):
            response.headers.pop("Content-Type", None)
            response.headers.pop("Content-Length", None)
        elif not headers or "content-type" not in {name.lower() for name in headers}:
            response.headers["Content-Type"] = self._mimetype
        return response


def unsupported_media_type(accepted: tuple[str, ...], detail: str) -> Problem:
    """415, which lists what is accepted."""
    return Problem("unsupported-media-type", detail, {"accepted": list(accepted)}, (("Accept", ", ".join(accepted)),))


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def unique_parameters(operation: AbstractOperation) -> list[Mapping[str, Any]]:
    """The operation's parameters; connexion appends the path's own ones again each time it builds an operation."""
    return list({(each["name"], each["in"]): each for each in reversed(operation.parameters)}.values())


def api_keys(operation: AbstractOperation) -> list[str]:
    """The query parameters in which API keys come."""
    schemes = [operation.security_schemes[name] for each in operation.security or () for name in each]
    return [scheme["name"] for scheme in schemes if scheme.get("type") == "apiKey" and scheme.get("in") == "query"]
