"""RFC 9457 problems: one table from what was raised to what is answered."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from connexion.exceptions import OAuthProblem, ProblemException
from starlette.exceptions import HTTPException as StarletteHTTPException
from werkzeug.exceptions import HTTPException as WerkzeugHTTPException

from common.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Full,
    Invalid,
    MissingScope,
    NotFound,
    Stale,
    Unavailable,
    Unprocessable,
)
from common.observability import current
from common.security.tokens import InvalidToken

logger = logging.getLogger("common.web")
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of problem: its status, its title, and what its page at /problems/<name> says."""

    status: int
    title: str
    meaning: str


KINDS: Mapping[str, Kind] = {
    "invalid": Kind(
        400, "The input is not valid", "Something in the request is not as the specification says; `errors` names each place."
    ),
    "bad-request": Kind(400, "The request cannot be understood", "The request is malformed as a whole."),
    "unauthorized": Kind(401, "Who are you?", "The operation needs a valid token in the Authorization header."),
    "forbidden": Kind(
        403,
        "Not allowed",
        "Your token does not carry the scope that this operation needs, or the listing belongs to somebody else.",
    ),
    "not-found": Kind(
        404,
        "There is no such listing",
        "The id has never existed, what it named has been deleted, or it is hidden from you; search may not have heard of it yet.",
    ),
    "no-such-path": Kind(
        404,
        "There is nothing at this path",
        "There is nothing at this path; the specification at /v1.0/openapi.json lists the paths there are",
    ),
    "method-not-allowed": Kind(405, "Not at this path", "The path exists, but not with this method; `Allow` lists those it has."),
    "timeout": Kind(408, "The request took too long to arrive", "The body did not arrive in time; send it again."),
    "conflict": Kind(
        409, "It exists already", "Another listing has the value that `field` names; `Location` leads to it, if you may see it."
    ),
    "gone": Kind(410, "It will never be here", "What was to be here could not be had; `reason` says why."),
    "stale": Kind(
        412, "It has changed since you read it", "Read it again, apply your change, and send the new `ETag` in `If-Match`."
    ),
    "too-large": Kind(413, "The body is too large", "The body exceeds the limit that `limit` gives in bytes."),
    "unsupported-media-type": Kind(
        415, "The content type is not accepted", "`accepted` lists the content types this operation takes."
    ),
    "too-many": Kind(
        429, "Too many requests", "You, or your address, have asked too often; try again after `Retry-After` seconds."
    ),
    "headers-too-large": Kind(
        431, "The headers are too large", "The request line and headers together exceed the limit that `limit` gives in bytes."
    ),
    "failed": Kind(422, "It cannot be done", "The request is well-formed, but cannot be carried out as it is."),
    "internal": Kind(500, "Something went wrong here", "The fault is ours. Quote the `request_id` when you report it."),
    "unread": Kind(507, "Too many outcomes are waiting", "Read the answer while you send; what waits unread has a limit."),
    "unavailable": Kind(
        503, "Not available at the moment", "Something this service needs does not answer; try again after `Retry-After` seconds."
    ),
    "stopping": Kind(503, "The service is stopping", "What had been done is done; send the rest again."),
}


@dataclass(eq=False)
class Problem(Exception):
    """An answer that says what went wrong. May also be raised as it is, by handlers or by our own layers."""

    kind: str  # a key of KINDS
    detail: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()
    status: int = 0  # 0: the kind's own

    def document(self, instance: str = "") -> dict[str, Any]:
        """The members of the problem, as RFC 9457 names them, and `request_id`."""
        kind = KINDS[self.kind]
        document = {
            "type": f"/problems/{self.kind}",
            "title": kind.title,
            "status": self.status or kind.status,
            "detail": self.detail or kind.meaning,
            "instance": instance,
            "request_id": current().request_id,
        }
        return {key: value for key, value in document.items() if value} | dict(self.extensions)

    def answer(self, instance: str = "") -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, ASGI headers and body."""
        document = self.document(instance)
        try:
            body = orjson.dumps(document, default=str)
        except TypeError:  # a lone surrogate in what the client sent
            body = orjson.dumps(
                {key: ascii(value) if isinstance(value, str) else value for key, value in document.items()}, default=ascii
            )
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in self.headers]
        return document["status"], headers, body


Translate = Callable[[Any], Problem]


def errors_as_json(errors: Iterable[FieldError]) -> list[dict[str, str]]:
    """`errors` as a problem shows them: [{"in", "name", "detail"}]."""
    return [{"in": error.where, "name": error.name, "detail": error.detail} for error in errors]


class ProblemTable:
    """Turns whatever was raised into a Problem; the most derived class that is known decides."""

    def __init__(
        self, location: Callable[[str], str] | None = None, more: Mapping[type[BaseException], Translate] | None = None
    ) -> None:
        self._table: dict[type[BaseException], Translate] = {
            Problem: lambda problem: problem,
            Invalid: lambda error: Problem("invalid", str(error)[:1000], {"errors": errors_as_json(error.errors)}),
            Unprocessable: lambda error: Problem("failed", str(error)[:1000], {"errors": errors_as_json(error.errors)}),
            NotFound: lambda error: Problem("not-found", str(error), {"id": error.id}),
            Conflict: lambda error: Problem(
                "conflict",
                str(error),
                {
                    "field": error.field,
                    "existing_id": error.existing_id,
                    "errors": errors_as_json([FieldError("body", error.field, str(error))]),
                },
                (("Location", location(error.existing_id)),) if location and error.existing_id else (),
            ),
            InvalidToken: lambda error: Problem("unauthorized", str(error), {}, (_challenge("invalid_token", str(error)),)),
            MissingScope: lambda error: Problem(
                "forbidden",
                str(error),
                {"scopes": list(error.scopes)},
                (_challenge("insufficient_scope", str(error), error.scopes),),
            ),
            Forbidden: lambda error: Problem("forbidden", str(error)),
            Stale: lambda error: Problem(
                "stale", str(error), {"id": error.id, "version": error.version}, (("ETag", f'"{error.version}"'),)
            ),
            # The reason may hold addresses of our neighbours; it is for the log.
            Unavailable: lambda error: Problem(
                "unavailable", f"{error.neighbour} is not available", {}, (("Retry-After", str(error.retry_after)),)
            ),
            Full: lambda error: Problem("unavailable", str(error), {}, (("Retry-After", str(error.retry_after)),)),
            OAuthProblem: lambda error: Problem("unauthorized", error.detail or "", {}, (("WWW-Authenticate", "Bearer"),)),
            ProblemException: lambda error: _of_status(error.status, error.detail or "", error.headers or {}),
            StarletteHTTPException: lambda error: _of_status(error.status_code, error.detail or "", error.headers or {}),
            WerkzeugHTTPException: lambda error: _of_status(
                error.code or 500, error.description or "", dict(error.get_headers())
            ),
        }
        self._table.update(more or {})

    def problem(self, error: BaseException) -> Problem:
        """What to answer. The unexpected becomes a 500 that tells nothing, and is logged with its traceback."""
        translate = next((self._table[base] for base in type(error).__mro__ if base in self._table), None)
        if isinstance(error, Unavailable):
            logger.warning("%s", error)
        if translate is not None:
            try:
                return translate(error)
            except Exception as broken:  # noqa: BLE001 - a service's own translation, which must not cost the answer
                error = broken
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        return Problem("internal")


def _challenge(code: str, description: str, scopes: tuple[str, ...] = ()) -> Header:
    """RFC 6750, section 3. The texts are ours, and hold no quotes."""
    scope = f', scope="{" ".join(scopes)}"' if scopes else ""
    return "WWW-Authenticate", f'Bearer error="{code}", error_description="{description}"{scope}'


_BY_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "no-such-path",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}
_KEPT = {"allow", "retry-after", "www-authenticate", "location"}


def _of_status(status: int, detail: str, headers: Mapping[str, str]) -> Problem:
    kind = _BY_STATUS.get(status) or (
        "invalid" if status == 400 else "failed" if status < 500 else "unavailable" if status == 503 else "internal"
    )
    if kind == "internal" or status in (404, 405):  # frameworks say no more than the status does
        detail = ""
    kept = tuple((name, value) for name, value in headers.items() if name.lower() in _KEPT)
    if status == 401 and not any(name.lower() == "www-authenticate" for name, _ in kept):
        kept += (("WWW-Authenticate", "Bearer"),)
    return Problem(kind, detail, {}, kept, status if 400 <= status < 600 else 500)
