"""What a service counts, for Prometheus: names, labels, and how the numbers of one process or of several become one page.

Labels take few values (operation ids, statuses, types, reasons), never anything that a client chooses.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

M = TypeVar("M", Counter, Histogram)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: From an event's time until it is found: what waits out an outage waits for minutes.
FRESH_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0)
EVENTS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each counter, which says when this process began


@dataclass(frozen=True, slots=True)
class Reading:
    """What a gauge shows now; those of one name have the same labels."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


#: Asks a neighbour when the page is asked for: several answers of one question. It may raise; then they are missing.
Gauges = Callable[[], Sequence[Reading]]


class Metrics:
    """The numbers of one service in one process, apart from every other instance's. Safe to share between threads.

    With a `directory` (prometheus_client's PROMETHEUS_MULTIPROC_DIR, set before this module is imported) they are those of all
    processes that share it, also of those that have ended.
    """

    def __init__(self, service: str, directory: str = "") -> None:
        self._service, self._directory = service, directory
        self._registry = CollectorRegistry()
        self._counters: dict[str, Family[Counter]] = {}

    def counter(self, name: str, help: str, *labels: str) -> "Family[Counter]":
        """`name` without the `atrium_` before it and the `_total` behind. Whoever asks for it again gets the same one."""
        if name not in self._counters:
            made = Counter(f"atrium_{name}", help, ("service", *labels), registry=self._registry)
            self._counters[name] = Family(made, self._service)
        return self._counters[name]

    def histogram(self, name: str, help: str, *labels: str, buckets: Sequence[float]) -> "Family[Histogram]":
        names = ("service", *labels)
        return Family(Histogram(f"atrium_{name}", help, names, buckets=buckets, registry=self._registry), self._service)

    def exposed(self, readings: Iterable[Reading] = ()) -> bytes:
        """The page in Prometheus' text format. Reads files where there are several processes."""
        counted = self._registry
        if self._directory:
            counted = CollectorRegistry()
            MultiProcessCollector(counted, self._directory)  # type: ignore[no-untyped-call]
        asked = CollectorRegistry()
        asked.register(_Gauges(self._service, readings))
        return generate_latest(counted) + generate_latest(asked)


class Family(Generic[M]):
    """A metric by the values of its labels. Those seen before are kept at hand: it is asked for each request and event."""

    def __init__(self, metric: M, service: str) -> None:
        self._metric: M = metric
        self._service = service
        self._children: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(self._service, *values)
        return child


class _Gauges(Collector):
    def __init__(self, service: str, readings: Iterable[Reading]) -> None:
        self._service, self._readings = service, readings

    def collect(self) -> Iterable[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for each in self._readings:
            family = families.get(each.name)
            if family is None:
                family = GaugeMetricFamily(f"atrium_{each.name}", each.help, labels=("service", *each.labels))
                families[each.name] = family
            family.add_metric((self._service, *each.labels.values()), each.value)
        yield from families.values()


class Requests:
    """HTTP requests by operation and status; what is no operation of the document counts under one name."""

    OTHER = "other"

    def __init__(self, metrics: Metrics) -> None:
        self._answered = metrics.counter("http_requests", "Requests answered", "operation", "status")
        self._seconds = metrics.histogram(
            "http_request_seconds", "Time from a request's head to the end of its answer", "operation", buckets=SECONDS
        )

    def answered(self, operation: str, status: int, seconds: float) -> None:
        self._answered(operation, str(status)).inc()
        self._seconds(operation).observe(seconds)


class ImportedLines:
    """Lines of imports by what became of them."""

    def __init__(self, metrics: Metrics) -> None:
        self._lines = metrics.counter("import_lines", "Lines of imports", "outcome")

    def add(self, outcomes: Iterable[str]) -> None:
        _add(self._lines, Tally(outcomes))


class Relayed:
    """What a relay did: each event that it hands to the broker is confirmed, returned, or part of a batch that failed."""

    def __init__(self, metrics: Metrics) -> None:
        self.published = metrics.counter("relay_published", "Events handed to the broker, each time")()
        self.confirmed = metrics.counter("relay_confirmed", "Events that the broker has confirmed")()
        self.returned = metrics.counter("relay_returned", "Events that the broker returned or refused")()
        self.failures = metrics.counter("relay_publish_failures", "Batches without an answer from the broker")()


class Consumed:
    """What a consumer took, how much together, what of it died, and how old it was once it was applied."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.counter("consumer_events", "Events taken that could be read", "type")
        self._batch = metrics.histogram("consumer_batch_events", "Events applied together", buckets=EVENTS)()
        self._dead = metrics.counter("consumer_dead_letters", "Events that became dead letters", "reason")
        self._freshness = metrics.histogram(
            "freshness_seconds", "From an event's own time until it was durable here", "type", buckets=FRESH_SECONDS
        )

    def took(self, types: Iterable[str]) -> None:
        tally = Tally(types)
        _add(self._events, tally)
        self._batch.observe(tally.total())

    def applied(self, events: Iterable[tuple[str, datetime]], now: datetime) -> None:
        """`events` are (type, time). A clock ahead of ours makes nothing fresher than now."""
        for type, time in events:
            self._freshness(type).observe(max(0.0, (now - time).total_seconds()))

    def buried(self, reasons: Iterable[str]) -> None:
        _add(self._dead, Tally(reasons))


class BulkItems:
    """Documents given to an index by what it did with them: `applied`, `stale` (it had one at least as new), `refused`, `retried`."""

    def __init__(self, metrics: Metrics, index: str) -> None:
        self._items = metrics.counter("index_items", "Documents given to an index, each time", "index", "status")
        self._index = index
        self.add(dict.fromkeys(("applied", "stale", "refused", "retried"), 0))

    def add(self, statuses: Mapping[str, int]) -> None:
        for status, amount in statuses.items():
            self._items(self._index, status).inc(amount)


class FetchedImages:
    """Images by what became of them: `stored`, `again` (it did not work, and is tried again later), `failed`."""

    def __init__(self, metrics: Metrics) -> None:
        self._images = metrics.counter("images", "Images fetched, each time", "outcome")
        for outcome in ("stored", "again", "failed"):
            self._images(outcome)

    def count(self, outcome: str) -> None:
        self._images(outcome).inc()


def _add(counter: Family[Counter], amounts: Mapping[str, int]) -> None:
    for label, amount in amounts.items():
        counter(label).inc(amount)
