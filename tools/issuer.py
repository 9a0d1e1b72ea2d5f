#!/usr/bin/env python3
"""A token issuer for development and tests, which gives everybody whatever they ask for; it listens to this machine alone.

`issuer.py serve` runs it: POST /token (RFC 6749, client credentials: any client, any secret; the subject is the client, or what the
field `subject` says), GET /jwks, GET /.well-known/oauth-authorization-server (RFC 8414); open to pages of every origin, for Swagger UI.
`issuer.py token` prints a token for SUBJECT with SCOPES, without a server. `issuer.py rotate` signs with a new key from now on, and
still lists the one before.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from issuer_keys import IssuerKeys
from stack import AUDIENCE, ISSUER, StackError, address, data_dir, environment, url

SCOPES = ("rooms:write", "items:write", "admin")  # those that it tells of; every `<service>:write` is known
_KNOWN = re.compile(r"[a-z][a-z0-9_]*:write|admin")
_SECONDS, _SECONDS_PRINTED = 3600, 12 * 3600
_MAX_BODY = 16 * 1024


class Refused(Exception):
    """An error of RFC 6749, section 5.2: its code, and words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def granted(form: Mapping[str, str], authorization: str) -> tuple[str, str]:
    """Subject and scopes for a request to /token. Raises Refused."""
    if form.get("grant_type") != "client_credentials":
        raise Refused("unsupported_grant_type", "grant_type must be client_credentials")
    client = _basic(authorization) if authorization else form.get("client_id", "")
    subject = form.get("subject") or client
    if not (client and subject.isprintable() and len(subject) <= 255):
        raise Refused("invalid_client", "a client_id is needed, in a Basic Authorization or in the form")
    asked = form.get("scope", "").split() or [scope for scope in SCOPES if scope != "admin"]
    if unknown := [scope for scope in asked if not _KNOWN.fullmatch(scope)]:
        raise Refused("invalid_scope", f"{unknown[0]!r} is none of {', '.join(SCOPES)}")
    return subject, " ".join(asked)


def _basic(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        return unquote_plus(base64.b64decode(credentials, validate=True).decode().partition(":")[0])
    except (ValueError, binascii.Error):
        raise Refused("invalid_client", "the Authorization must be Basic") from None


def metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": SCOPES,
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


def server(issuer: str, host: str, port: int, keys: IssuerKeys) -> ThreadingHTTPServer:
    """The issuer, which calls itself `issuer`, on a port that it takes; to be run by `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a client may say nothing

        def do_GET(self) -> None:
            pages: dict[str, Callable[[], Mapping[str, Any]]] = {
                "/jwks": keys.jwks,
                "/.well-known/oauth-authorization-server": lambda: metadata(issuer),
                "/readyz": lambda: {"status": "ready"},
            }
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self._answer(404, {"error": "not_found"})
            else:
                self._answer(200, page())

        def do_POST(self) -> None:
            if self.path != "/token":
                self._answer(404, {"error": "not_found"})
                return
            try:
                subject, scope = granted(self._form(), self.headers.get("Authorization", ""))
            except Refused as error:
                status = 401 if error.code == "invalid_client" else 400
                self._answer(status, {"error": error.code, "error_description": str(error)})
                return
            token = keys.token(issuer, AUDIENCE, subject, scope, _SECONDS)
            self._answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": _SECONDS, "scope": scope})

        def do_OPTIONS(self) -> None:
            self.send_response(204)
            self.send_header("Access-Control-Allow-Methods", "GET, POST")
            self.send_header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Requested-With")
            self.end_headers()

        def _form(self) -> dict[str, str]:
            length = self.headers.get("Content-Length", "0")
            if not (length.isascii() and length.isdigit() and int(length[:9]) <= _MAX_BODY):
                raise Refused("invalid_request", f"the body may have {_MAX_BODY} bytes")
            fields = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
            return {name: values[-1] for name, values in fields.items()}

        def _answer(self, status: int, document: Mapping[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            self.wfile.write(body)

        def end_headers(self) -> None:
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Cache-Control", "no-store")
            super().end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            _say("info", format % args)

    return ThreadingHTTPServer((host, port), Handler)


def _say(level: str, message: str) -> None:
    print(json.dumps({"level": level, "message": message}), flush=True)


def main(argv: list[str]) -> int:
    """0; 1 with one line when it cannot be done; 2 for an unknown command."""
    commands = {"serve": _serve, "token": _print_token, "rotate": _rotate}
    if len(argv) != 1 or argv[0] not in commands:
        print("usage: issuer.py serve | token | rotate", file=sys.stderr)
        return 2
    try:
        values = environment()
        commands[argv[0]](values, IssuerKeys(data_dir(values) / "issuer.json"))
    except (StackError, OSError) as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(values: Mapping[str, str], keys: IssuerKeys) -> None:
    host, port = address(ISSUER, values)
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise StackError(f"ISSUER_HOST {host!r}: it gives tokens to everybody, and listens to this machine alone")
    issuer = url(ISSUER, values)
    keys.jwks()  # they exist before anybody asks
    with server(issuer, host, port, keys) as http:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=http.shutdown).start())
        _say("info", f"giving tokens at {issuer}/token")
        http.serve_forever()


def _print_token(values: Mapping[str, str], keys: IssuerKeys) -> None:
    issuer = url(ISSUER, values)
    if values.get("OAUTH_ISSUER", issuer) not in ("", issuer):
        raise StackError(f"OAUTH_ISSUER is {values['OAUTH_ISSUER']}: only that issuer gives tokens that are accepted here")
    form = {"grant_type": "client_credentials", "client_id": os.environ.get("SUBJECT") or "developer"}
    try:
        subject, scope = granted(form | {"scope": os.environ.get("SCOPES", "")}, "")
    except Refused as error:
        raise StackError(f"SUBJECT or SCOPES: {error}") from None
    print(keys.token(issuer, values.get("OAUTH_AUDIENCE") or AUDIENCE, subject, scope, _SECONDS_PRINTED))


def _rotate(_values: Mapping[str, str], keys: IssuerKeys) -> None:
    print(f"signing with the key {keys.rotate()} from now on")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
