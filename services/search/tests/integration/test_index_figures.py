"""What an index counts of what it is given, and what it says is in it. Once on Tantivy, once on Elasticsearch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import Unavailable
from common.observability.metrics import BulkItems, Metrics
from common.testing.metrics import sample
from search.adapters.elasticsearch import ElasticsearchIndex
from search.adapters.tantivy_live import TantivyIndex
from search.domain import Contents, Document
from search.kinds import ROOMS
from search.ports import Index

Make = Callable[..., Document]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("search")


def counted(url: str, metrics: Metrics) -> Index:
    items = BulkItems(metrics, "rooms")
    return TantivyIndex(url, ROOMS, items) if url.startswith("tantivy:") else ElasticsearchIndex(url, ROOMS, items=items)


def items(metrics: Metrics) -> dict[str, float]:
    page = metrics.exposed()
    return {
        status: sample(page, "index_items_total", index="rooms", status=status)
        for status in ("applied", "stale", "refused", "retried")
    }


def test_each_document_counts_by_what_the_index_did_with_it(index_url: str, metrics: Metrics, document: Make) -> None:
    index = counted(index_url, metrics)
    index.ensure(writing=True)
    one, other = document(), document()
    nowhere = document(coordinates={"lat": 91.0, "lon": 0.0})
    index.apply([one, other])
    index.apply([one, nowhere, replace(one, version=2, listing=None)])
    index.apply([other])
    assert items(metrics) == {"applied": 3, "stale": 2, "refused": 1, "retried": 0}
    index.close()


def test_what_comes_again_counts_as_retried(
    index_url: str, metrics: Metrics, document: Make, open_index: Callable[[str], Index]
) -> None:
    tantivy = index_url.startswith("tantivy:")
    if tantivy:
        open_index(index_url).ensure(writing=True)  # and keeps the only writer
    index = counted(index_url if tantivy else NOWHERE, metrics)
    with pytest.raises(Unavailable):
        index.apply([document(), document()])
    assert items(metrics) == {"applied": 0, "stale": 0, "refused": 0, "retried": 2}
    index.close()


def test_it_says_what_is_in_it(
    index: Index, document: Make, fill: Callable[..., Any], eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    assert index.contents() == Contents(living=0, hidden=0, tombstones=0, versions=0)
    shown, hidden, gone = document(), document(is_visible=False), document()
    fill(shown, hidden, gone)
    index.apply([replace(shown, version=7), replace(gone, version=2, listing=None)])
    expected = Contents(living=2, hidden=1, tombstones=1, versions=7 + 1 + 2)
    eventually(lambda: index.contents() == expected, "the figures do not follow")


def test_an_index_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ElasticsearchIndex(NOWHERE, ROOMS).contents()
