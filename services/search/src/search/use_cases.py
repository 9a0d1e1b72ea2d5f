"""What can be done with the indices, one class per verb."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.errors import NotFound
from search.domain import Document, Freshness, Hit, Market, Outcome, Page, Query, Refused
from search.geo import Point
from search.highlights import fragments, marked
from search.kinds import Kind
from search.ports import Clock, Corpora, Index
from search.text import Matcher

#: Listings that are found by what they hold, at most; and how many of what one of them holds an answer names.
HOLDERS, NAMED = 1000, 3


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
    """A hit as people see it: `distance_m` in metres from the query's centre, highlights as HTML by field, the best of what it holds."""

    hit: Hit
    distance_m: float | None
    highlights: Mapping[str, list[str]]
    held: Sequence[Hit] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """`complete` unless more was found by what it holds than is looked at."""

    page: Page
    found: Sequence[Found]
    freshness: Freshness
    complete: bool = True


@dataclass(frozen=True)
class SearchListings:
    """Finds listings of one kind, where it has words also by what they hold. Raises Unavailable, whichever of the indices is away."""

    corpora: Corpora
    clock: Clock
    market: Market

    def __call__(self, kind: Kind, query: Query) -> Answer:
        query = query.on(self.market)
        index = self.corpora[kind.name].index
        progress = dict(index.progress())  # before the searches: what it promises must be in there
        within, field = self._within(kind, query)
        holders: Sequence[str] = ()
        if within is not None:
            progress |= within.progress()  # nothing where its service has never been heard of
            holders = within.holders(query.words, field, HOLDERS + 1)
        page = index.search(replace(query, holding=tuple(holders[:HOLDERS])))
        held: Mapping[str, Sequence[Hit]] = {}
        if within is not None:
            held = within.held(query.words, field, [hit.id for hit in page.hits], NAMED)
        matcher = Matcher(query.words)
        found = [_found(kind, hit, held.get(hit.id, ()), query, matcher) for hit in page.hits]
        return Answer(page, found, Freshness.at(progress, self.clock.now()), len(holders) <= HOLDERS)

    def _within(self, kind: Kind, query: Query) -> tuple[Index | None, str]:
        """The index of what these listings hold, and its field that says by which, where there are words to look for in it."""
        if not query.words or kind.holds is None:
            return None, ""
        held, field = kind.holds
        return self.corpora[held].index, field


@dataclass(frozen=True)
class ReadDocument:
    """Raises NotFound, also where the listing was deleted or is hidden."""

    corpora: Corpora

    def __call__(self, kind: Kind, id: str) -> Document:
        document = self.corpora[kind.name].index.get(id)
        if not document.visible:
            raise NotFound(id)
        return document


@dataclass(frozen=True)
class PrepareIndices:
    """Makes them exist. Raises WrongSetting, Unavailable."""

    corpora: Corpora

    def __call__(self, *, writing: bool = False) -> None:
        for corpus in self.corpora.values():
            corpus.index.ensure(writing=writing)


def _found(kind: Kind, hit: Hit, held: Sequence[Hit], query: Query, matcher: Matcher) -> Found:
    distance = None
    at = None if query.near is None else kind.read(hit.listing).position
    if query.near is not None and at is not None:
        distance = round(query.near.distance(Point(at["lat"], at["lon"]).cell), 1)
    highlights = {}
    if query.words:
        texts = {
            "name": marked(hit.listing["name"], matcher),
            "description": fragments(hit.listing["description"] or "", matcher),
        }
        highlights = {name: found for name, found in texts.items() if found}
    return Found(hit, distance, highlights, held)
