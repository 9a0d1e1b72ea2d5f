"""What can be done with the index, one class per verb."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.errors import NotFound
from search.domain import Document, Freshness, Hit, Market, Outcome, Page, Query, Refused
from search.geo import Point
from search.highlights import fragments, marked
from search.ports import Clock, Index
from search.text import Matcher


@dataclass(frozen=True)
class ApplyChanges:
    """Makes documents durable, then notes how far each producer had come by then. Raises Unavailable: all of it is to come again."""

    index: Index

    def __call__(
        self, documents: Sequence[Document], heartbeats: Mapping[str, datetime]
    ) -> tuple[Sequence[Outcome], Mapping[str, Refused]]:
        """One outcome per document, in order, and the sources whose heartbeat the index refused."""
        outcomes = self.index.apply(documents) if documents else []
        # A heartbeat vouches for what was published before it; only now is that durable.
        noted = {source: self.index.record_progress(source, as_of) for source, as_of in heartbeats.items()}
        return outcomes, {source: outcome for source, outcome in noted.items() if isinstance(outcome, Refused)}


@dataclass(frozen=True, slots=True)
class Found:
    """A hit as people see it: `distance_m` in metres from the query's centre, highlights as HTML by field."""

    hit: Hit
    distance_m: float | None
    highlights: Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    page: Page
    found: Sequence[Found]
    freshness: Freshness


@dataclass(frozen=True)
class SearchRooms:
    index: Index
    clock: Clock
    market: Market

    def __call__(self, query: Query) -> Answer:
        query = query.on(self.market)
        progress = self.index.progress()  # before the search: what it promises must be in there
        page = self.index.search(query)
        matcher = Matcher(query.words)
        found = [_found(hit, query, matcher) for hit in page.hits]
        return Answer(page, found, Freshness.at(progress, self.clock.now()))


@dataclass(frozen=True)
class ReadDocument:
    """Raises NotFound, also where the room was deleted or is hidden."""

    index: Index

    def __call__(self, id: str) -> Document:
        document = self.index.get(id)
        if not document.visible:
            raise NotFound(id)
        return document


@dataclass(frozen=True)
class PrepareIndex:
    """Makes the index exist. Raises WrongSetting, Unavailable."""

    index: Index

    def __call__(self) -> None:
        self.index.ensure(writing=False)


def _found(hit: Hit, query: Query, matcher: Matcher) -> Found:
    distance = None
    if query.near is not None:
        at = hit.room["coordinates"]
        distance = round(query.near.distance(Point(at["lat"], at["lon"]).cell), 1)
    highlights = {}
    if query.words:
        texts = {"name": marked(hit.room["name"], matcher), "description": fragments(hit.room["description"], matcher)}
        highlights = {name: found for name, found in texts.items() if found}
    return Found(hit, distance, highlights)
