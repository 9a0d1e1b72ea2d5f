"""The HTTP operations that every kind of listings has, one method each; the name is the operationId."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from flask import request

from common.errors import Invalid
from common.listings.domain import IDEMPOTENCY_KEY, Aggregate, Given, Kind
from common.listings.ports import Filter, Once, Repeated
from common.listings.showing import Showing
from common.listings.use_cases import Browse, Publish, Read, Revise, Summarise, Withdraw
from common.security.current import principal
from common.security.principal import Principal
from common.web.conditions import etag, expected_versions, not_modified, not_modified_answer
from common.web.consistency import written
from common.web.merge_patch import apply
from common.web.pagination import decode_cursor, encode_cursor, next_link
from common.web.validation import Schema

Answer = tuple[Any, int, dict[str, str]]


@dataclass(frozen=True)
class Controller:
    """A kind's own adds `index`, whose parameters are its filters."""

    kind: Kind
    publish: Publish
    revise: Revise
    withdraw: Withdraw
    one: Read
    browse: Browse
    whole: Summarise
    schema: Schema
    shown: Showing

    def create(self, body: dict[str, Any]) -> Answer:
        by = principal()
        try:
            listing = self.publish(self.kind.given.parse(body), by, self._once(body, by))
        except Repeated as repeated:
            return self._created(self.seen(repeated.answer), {"Idempotency-Replayed": "true"})
        return self._created(self.seen(self.shown(listing)), {})

    def seen(self, shown: dict[str, Any]) -> dict[str, Any]:
        """What of a listing the principal of this request is shown; for kinds that tell of what is another's."""
        return shown

    def page(self, limit: int, cursor: str | None, filter: Mapping[str, str | bool | None]) -> Answer:
        """A page of the list; filters that are None do not filter."""
        after = None if cursor is None else _after(cursor)
        wanted: Filter = {name: value for name, value in filter.items() if value is not None}
        page = self.browse(wanted, after, limit + 1, principal())
        headers = {}
        if len(page) > limit:
            headers["Link"] = next_link(request.path, request.query_string.decode(), encode_cursor((page[limit - 1].id,)))
        return [self.seen(self.shown(each)) for each in page[:limit]], 200, headers

    def summary(self) -> Answer:
        whole = self.whole()
        return {"living": whole.living, "tombstones": whole.tombstones, "versions": whole.versions}, 200, {}

    def read(self, id: str) -> Answer:
        listing = self.one(_id(id), principal())
        if not_modified(request.headers.get("If-None-Match"), listing.version):
            return not_modified_answer(listing.version)
        return self.seen(self.shown(listing)), 200, {"ETag": etag(listing.version)}

    def replace(self, id: str, body: dict[str, Any]) -> Answer:
        return self._revised(id, lambda current: self.kind.given.parse(current.unechoed(body)))

    def patch(self, id: str, body: dict[str, Any]) -> Answer:
        return self._revised(id, lambda current: patched(self.kind, current, body, self.schema))

    def delete(self, id: str) -> Answer:
        version = self.withdraw(_id(id), principal(), _expected())
        return None, 204, written(self.kind.plural, _id(id), version)

    def _created(self, shown: dict[str, Any], headers: dict[str, str]) -> Answer:
        id, version = shown["id"], shown["version"]
        headers |= {"ETag": etag(version), "Location": self.kind.location(id), **written(self.kind.plural, id, version)}
        return shown, 201, headers

    def _revised(self, id: str, revision: Callable[[Aggregate], Given]) -> Answer:
        listing = self.revise(_id(id), revision, principal(), _expected())
        headers = {"ETag": etag(listing.version), **written(self.kind.plural, listing.id, listing.version)}
        return self.seen(self.shown(listing)), 200, headers

    def _once(self, body: dict[str, Any], by: Principal) -> Once | None:
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is None:
            return None
        return Once.of(by.owner, self.kind.plural, "create", key, sent=orjson.dumps(body, option=orjson.OPT_SORT_KEYS))


def patched(kind: Kind, current: Aggregate, patch: dict[str, Any], schema: Schema) -> Given:
    """What a merge patch (RFC 7396) makes of what a listing shows; derived values that the patch does not name stay derived.

    Raises Invalid where the outcome is none; `schema` is that of what is given.
    """
    shown = {name: value for name, value in current.shown().items() if name not in schema.read_only}
    document = current.unechoed(apply(shown, patch), touched=frozenset(patch))
    if errors := schema.errors(document):
        raise Invalid(errors)
    return kind.given.parse(document)


def _expected() -> frozenset[int] | None:
    return expected_versions(request.headers.get("If-Match"))


def _after(cursor: str) -> str:
    (after,) = decode_cursor(cursor, (str,))
    try:
        return _id(after)
    except ValueError:
        raise Invalid.field("cursor", "is not a cursor this list has given out", "query") from None


def _id(text: str) -> str:
    """A UUID as we write it: the document lets other spellings pass."""
    return str(UUID(text))
