"""The index on Elasticsearch 9: an alias over generations, external versions, one outcome per item of a bulk."""

import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import uuid4

import elastic_transport
import elasticsearch

from common.errors import NotFound, Unavailable
from common.failpoints import failpoint
from common.observability.metrics import BulkItems, Metrics
from search.adapters.elasticsearch_alias import make
from search.adapters.elasticsearch_bulk import ANSWERED, action, body, bulks, counted_as, outcome
from search.adapters.elasticsearch_client import NEIGHBOUR, Missing, connect, reason_of, translated
from search.adapters.elasticsearch_hold import Patience
from search.adapters.elasticsearch_holders import held, held_body, holders, holders_body
from search.adapters.elasticsearch_mapping import document
from search.adapters.elasticsearch_query import page, search_body
from search.domain import Applied, Contents, Document, Hit, Outcome, Page, Query, Refused
from search.kinds import Kind
from search.ports import Index
from search.projection import microseconds, moment
from search.text import Word

T = TypeVar("T")
log = logging.getLogger(__name__)

BULK_TIMEOUT, PING_TIMEOUT = 60.0, 2.0
#: How long progress may be remembered, in seconds.
PROGRESS_AGE = 0.5
#: Ids looked up by one search, and documents that a scan reads at a time; a server answers 10,000 at the most.
PAGE = 5000
#: How long a scan may pause.
_KEPT_ALIVE = "10m"


_VERSIONS: dict[str, Any] = {"source": False, "docvalue_fields": ["id", "version"], "track_total_hits": False}


class ElasticsearchIndex(Index):
    """Listings of one kind in Elasticsearch. Any number of processes may read and write: per document the highest version wins."""

    def __init__(
        self, url: str, kind: Kind, api_key: str = "", items: BulkItems | None = None, *, generation: int | None = None
    ) -> None:
        """`url` is `http(s)://[user:password@]host:port/[?prefix=…]`; the prefix stands before every name. Connects to nothing yet.

        Without `generation` it is the live one, whichever the alias names at the moment.
        """
        self._client, prefix = connect(url, api_key)
        self._kind = kind
        self._alias = f"{prefix}{kind}"
        self._name = self._alias if generation is None else f"{self._alias}-g{generation}"
        self._live = generation is None
        self._items = items or BulkItems(Metrics("search"), kind.name)
        self._patient = self._client.options(request_timeout=BULK_TIMEOUT)
        self._patience = Patience(self._client, self._alias)
        # One copy of the index answers this process: another may not show yet what this one has shown. Processes differ in theirs.
        self._copy = uuid4().hex
        self._progress: tuple[float, Mapping[str, datetime]] = (float("-inf"), {})

    def ensure(self, *, writing: bool) -> None:
        if self._live:
            make(self._client, self._kind, self._alias)

    def apply(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = [Applied()] * len(documents)
        sent = 0
        for positions, lines in bulks(self._kind, documents, outcomes):
            for position, each in zip(positions, self._bulk(lines, len(positions)), strict=True):
                outcomes[position] = each
            sent += len(positions)
        self._items.add({"refused": len(documents) - sent})
        return outcomes

    def _bulk(self, lines: bytes, documents: int = 0) -> list[Outcome]:
        """`documents` is how many are to be counted: all that are in the lines, or none."""
        return self._patience.writing(lambda: self._recreating(lambda: self._bulk_once(lines, documents)))

    def _recreating(self, step: Callable[[], T]) -> T:
        """Runs `step`, once more after making the index where it was missing."""
        try:
            return step()
        except Missing:
            if not self._live:
                raise Unavailable(NEIGHBOUR, f"{self._name} is missing") from None
            log.warning("the alias %s is missing: making it again", self._alias)
            self.ensure(writing=False)
        try:
            return step()
        except Missing:
            raise Unavailable(NEIGHBOUR, f"the alias {self._alias} is missing") from None

    def _bulk_once(self, lines: bytes, documents: int) -> list[Outcome]:
        failpoint("index.commit")
        try:
            with translated():
                answer = self._patient.bulk(
                    index=self._name,
                    operations=cast(Any, lines),  # already newline-delimited JSON
                    require_alias=self._live,  # else a missing one would be made up on the spot, with a guessed mapping
                    filter_path=ANSWERED,
                )
        except Unavailable:
            self._items.add({"retried": documents})
            raise
        failpoint("index.committed")
        items = [item["index"] for item in answer["items"]]
        if documents:
            self._items.add(Tally(map(counted_as, items)))
        return [outcome(item) for item in items]

    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        at = microseconds(as_of)
        written = {"visible": False, "progress_source": source, "progress_as_of": at}
        try:
            (noted,) = self._bulk(body(action(f"progress:{source}", at, written)))
        except elasticsearch.BadRequestError as error:  # the whole request, as for an id that is too long
            return Refused("rejected", reason_of(error)[:1000])
        return noted

    def progress(self) -> Mapping[str, datetime]:
        read_at, known = self._progress
        if time.monotonic() - read_at > PROGRESS_AGE:
            asked_at = time.monotonic()
            answer = self._search(
                {"query": {"exists": {"field": "progress_source"}}, "size": 100, "_source": ["progress_source", "progress_as_of"]}
            )
            found = [hit["_source"] for hit in answer["hits"]["hits"]]
            known = {each["progress_source"]: moment(each["progress_as_of"]) for each in found}
            self._progress = (asked_at, known)  # threads that come meanwhile ask too: none waits for another
        return known

    def search(self, query: Query) -> Page:
        return page(self._kind, query, self._search(search_body(self._kind, query)))

    def holders(self, words: tuple[Word, ...], field: str, limit: int) -> Sequence[str]:
        return holders(field, self._search(holders_body(self._kind, words, field, limit)))

    def held(self, words: tuple[Word, ...], field: str, values: Collection[str], each: int) -> Mapping[str, Sequence[Hit]]:
        return held(self._kind, self._search(held_body(self._kind, words, field, values, each))) if values else {}

    def _search(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._recreating(lambda: self._search_once(self._client, asked))

    def _search_once(self, client: elasticsearch.Elasticsearch, asked: dict[str, Any]) -> dict[str, Any]:
        with translated():
            answer: dict[str, Any] = client.search(
                index=self._name, allow_partial_search_results=False, preference=self._copy, **asked
            ).body
        if answer["timed_out"]:
            raise Unavailable(NEIGHBOUR, "the search timed out")
        return answer

    def versions(self, ids: Collection[str]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        chosen = list(ids)
        for start in range(0, len(chosen), PAGE):
            asked = {"query": {"terms": {"id": chosen[start : start + PAGE]}}, "size": PAGE, "sort": "_doc", **_VERSIONS}
            found |= dict(map(_version, self._search(asked)["hits"]["hits"]))
        return found

    def scan(self) -> Iterator[tuple[str, int]]:
        return self.changes({"exists": {"field": "id"}})

    def changes(self, query: dict[str, Any]) -> Iterator[tuple[str, int]]:
        """The id and version of what answers `query`, ordered by id, as it was when the first was asked for."""
        pit = self._recreating(self._point_in_time)
        after: dict[str, Any] = {}
        try:
            while True:
                with translated():
                    answer = self._client.search(
                        pit={"id": pit, "keep_alive": _KEPT_ALIVE},
                        query=query,
                        size=PAGE,
                        sort=[{"id": "asc"}],
                        **after,
                        **_VERSIONS,
                    )
                if answer["timed_out"]:
                    raise Unavailable(NEIGHBOUR, "the search timed out")
                pit, hits = answer["pit_id"], answer["hits"]["hits"]
                yield from map(_version, hits)
                if len(hits) < PAGE:
                    return
                after = {"search_after": hits[-1]["sort"]}
        except Missing:
            raise Unavailable(NEIGHBOUR, f"{self._name} was removed, or it was read too slowly") from None
        finally:
            with suppress(elasticsearch.ApiError, elastic_transport.TransportError):
                self._client.close_point_in_time(id=pit)

    def _point_in_time(self) -> str:
        with translated():
            return str(self._client.open_point_in_time(index=self._name, keep_alive=_KEPT_ALIVE)["id"])

    def entry(self, id: str) -> Document:
        try:
            with translated():
                found = self._client.get(index=self._name, id=id)["_source"]
        except Missing:
            raise NotFound(id) from None
        if "version" not in found:  # a progress document
            raise NotFound(id)
        return document(self._kind, found)

    def count(self) -> int:
        try:
            with translated():
                return int(self._client.count(index=self._name, query={"term": {"deleted": False}})["count"])
        except Missing:
            return 0

    def contents(self) -> Contents:
        hidden = {"bool": {"filter": {"term": {"deleted": False}}, "must_not": {"term": {"visible": True}}}}
        answer = self._search(
            {
                "size": 0,
                "aggs": {
                    "living": {"filter": {"term": {"deleted": False}}},
                    "hidden": {"filter": hidden},
                    "tombstones": {"filter": {"term": {"deleted": True}}},
                    "versions": {"sum": {"field": "version"}},
                },
            }
        )
        found = answer["aggregations"]
        counts = {name: found[name]["doc_count"] for name in ("living", "hidden", "tombstones")}
        return Contents(**counts, versions=round(found["versions"]["value"]))

    def ping(self) -> None:
        try:
            self._search_once(self._client.options(request_timeout=PING_TIMEOUT), {"size": 0, "terminate_after": 1})
        except Missing:
            return  # it answers; the first write or search makes the index

    def close(self) -> None:
        self._client.close()


def _version(hit: dict[str, Any]) -> tuple[str, int]:
    return hit["fields"]["id"][0], hit["fields"]["version"][0]
