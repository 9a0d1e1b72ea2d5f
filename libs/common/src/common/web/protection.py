"""What a document says about security, made to fit how the service is protected, and to tell what the guard answers.

A service writes its scheme once, `components.securitySchemes.oauth` of `type: oauth2`, and `security` where it is needed; the rest is here.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from connexion.http_facts import METHODS

from common.web.document import Document
from common.web.guard import Guard

_PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}
_RETRY = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "What is wrong with the token (RFC 6750)", "schema": {"type": "string"}}}
_RESPONSES = {
    "401": ("Unauthorized", {"description": "A token is missing, or not valid", "headers": _CHALLENGE, "content": _PROBLEM}),
    "403": (
        "Forbidden",
        {"description": "The token lacks a scope, or the listing belongs to somebody else", "content": _PROBLEM},
    ),
    "429": ("TooMany", {"description": "Asked too often", "headers": _RETRY, "content": _PROBLEM}),
    "503": (
        "NotAvailable",
        {"description": "Something the service needs does not answer", "headers": _RETRY, "content": _PROBLEM},
    ),
}
_TOKEN = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Paste a token, without `Bearer`."}


def protected(document: Document, guard: Guard) -> Document:
    """The document as connexion enforces it: without security where there is no issuer; and with the answers of the guard."""
    if guard.tokens is None:
        document.pop("security", None)
        document.get("components", {}).pop("securitySchemes", None)
    elif guard.token_url:
        for scheme in _schemes(document).values():
            for flow in scheme.get("flows", {}).values():
                flow["tokenUrl"] = guard.token_url
    everywhere = document.get("security")
    for operation in _operations(document):
        if guard.tokens is None:
            operation.pop("security", None)
        elif operation.get("security", everywhere):
            _answers(document, operation, "401", "403", "503")
        if guard.subjects or guard.senders:
            _answers(document, operation, "429")
    return document


def shown(document: Mapping[str, Any]) -> Document:
    """The document as it is served: where a token may be fetched from the issuer, one that somebody has may be pasted as well.

    (connexion would take it without looking at its scopes, so it enforces the document without this.)
    """
    result = copy.deepcopy(dict(document))
    oauth = {name for name, scheme in _schemes(result).items() if scheme.get("type") == "oauth2"}
    if oauth:
        result["components"]["securitySchemes"]["token"] = _TOKEN
        for each in (result, *_operations(result)):
            if "security" in each:
                each["security"] = [pair for need in each["security"] for pair in _either(need, oauth)]
    return result


def _either(need: dict[str, Any], oauth: set[str]) -> list[dict[str, Any]]:
    return [need, {"token": []}] if need.keys() & oauth else [need]


def _answers(document: Document, operation: Document, *statuses: str) -> None:
    responses = operation["responses"]
    for status in statuses:
        if status not in responses:
            name, response = _RESPONSES[status]
            document.setdefault("components", {}).setdefault("responses", {}).setdefault(name, response)
            responses[status] = {"$ref": f"#/components/responses/{name}"}


def _schemes(document: Mapping[str, Any]) -> dict[str, Any]:
    schemes: dict[str, Any] = document.get("components", {}).get("securitySchemes", {})
    return schemes


def _operations(document: Mapping[str, Any]) -> Iterator[Document]:
    for item in document["paths"].values():
        for method in METHODS & item.keys():
            yield item[method]
