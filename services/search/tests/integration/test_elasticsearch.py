"""What only Elasticsearch does: aliases and templates, items refused one by one, and being away."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from common.errors import Unavailable, WrongSetting
from search.adapters.elasticsearch import ElasticsearchIndex
from search.adapters.elasticsearch_mapping import mappings, source
from search.domain import Applied, Document, Query, Refused
from search.kinds import ROOMS
from search.ports import Index
from search.projection import Fields, project

Make = Callable[..., Document]
MAPPINGS = mappings(ROOMS)


@pytest.fixture
def api(elasticsearch_url: str) -> Iterator[httpx.Client]:
    """The server itself."""
    with httpx.Client(base_url=httpx.URL(elasticsearch_url).copy_with(query=None), timeout=30) as client:
        yield client


@pytest.fixture
def alias(elasticsearch_url: str) -> str:
    return f"{httpx.URL(elasticsearch_url).params['prefix']}rooms"


@pytest.fixture
def index(elasticsearch_url: str, open_index: Callable[[str], Index]) -> Index:
    return open_index(elasticsearch_url)


def _fields(document: Document) -> Fields:
    fields = project(ROOMS, document)
    assert isinstance(fields, Fields)
    return fields


def _settings(api: httpx.Client, alias: str) -> Any:
    (generation,) = api.get(f"/{alias}").raise_for_status().json().values()
    return generation


def test_the_first_generation_stands_behind_an_alias(index: Index, api: httpx.Client, alias: str) -> None:
    index.ensure(writing=True)
    generation = _settings(api, alias)
    assert generation["aliases"] == {alias: {}}
    assert generation["settings"]["index"]["provided_name"] == f"{alias}-g1"
    assert generation["settings"]["index"]["refresh_interval"] == "200ms"
    assert generation["mappings"]["dynamic"] == "strict"
    assert generation["mappings"]["properties"]["location"] == {"type": "geo_point"}


def test_many_may_make_the_index_at_once(
    elasticsearch_url: str, open_index: Callable[[str], Index], api: httpx.Client, alias: str
) -> None:
    several = [open_index(elasticsearch_url) for _ in range(6)]
    together = threading.Barrier(len(several))
    failures: list[Exception] = []

    def ensure(index: Index) -> None:
        together.wait()
        try:
            index.ensure(writing=True)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ensure, args=(each,)) for each in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(api.get(f"/_alias/{alias}").json()) == [f"{alias}-g1"]


def test_a_missing_index_is_made_again_before_anything_is_written(
    index: Index, document: Make, api: httpx.Client, alias: str
) -> None:
    index.ensure(writing=True)
    index.apply([document()])
    api.delete(f"/{alias}-g1").raise_for_status()
    again = document()
    assert index.apply([again]) == [Applied()]
    assert index.get(again.id) == again
    assert _settings(api, alias)["mappings"]["dynamic"] == "strict"


def test_a_search_makes_a_missing_index_too(index: Index) -> None:
    assert index.search(Query()).total == 0
    assert index.count() == 0


def test_an_index_with_the_name_of_the_alias_is_a_wrong_setting(index: Index, api: httpx.Client, alias: str) -> None:
    api.put(f"/{alias}").raise_for_status()
    with pytest.raises(WrongSetting, match="is an index there"):
        index.ensure(writing=True)


def test_a_generation_with_another_mapping_is_a_wrong_setting(index: Index, api: httpx.Client, alias: str) -> None:
    api.put(
        f"/{alias}-g1", json={"mappings": {"properties": {"price": {"type": "keyword"}}}, "aliases": {alias: {}}}
    ).raise_for_status()
    with pytest.raises(WrongSetting, match="cannot be used as it is"):
        index.ensure(writing=True)


def test_a_generation_of_an_earlier_release_gains_the_fields_it_lacks(
    index: Index, api: httpx.Client, alias: str, document: Make
) -> None:
    api.put(f"/{alias}-g1", json={"mappings": {"dynamic": "strict"}, "aliases": {alias: {}}}).raise_for_status()
    index.ensure(writing=True)
    assert index.apply([document()]) == [Applied()]


def test_what_was_indexed_before_a_field_came_is_found_without_a_rebuild(
    index: Index, api: httpx.Client, alias: str, document: Make, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    fields = {name: type for name, type in MAPPINGS["properties"].items() if name != "furnished"}
    api.put(f"/{alias}-g1", json={"mappings": MAPPINGS | {"properties": fields}, "aliases": {alias: {}}}).raise_for_status()
    older, newer = document(), document(furnished=True)
    written = {name: value for name, value in source(ROOMS, older, _fields(older)).items() if name != "furnished"}
    api.put(f"/{alias}/_doc/{older.id}", params={"version": 1, "version_type": "external"}, json=written).raise_for_status()
    index.ensure(writing=True)
    assert index.apply([newer]) == [Applied()]
    eventually(lambda: index.search(Query()).total == 2, "one of the two is not found")
    assert [hit.id for hit in index.search(Query(filters={"furnished": True})).hits] == [newer.id]
    assert index.search(Query(filters={"furnished": False})).total == 0


def test_an_alias_over_two_generations_makes_the_batch_wait(index: Index, api: httpx.Client, alias: str, document: Make) -> None:
    index.ensure(writing=True)
    api.put(f"/{alias}-g2", json={"aliases": {alias: {}}}).raise_for_status()
    with pytest.raises(Unavailable):
        index.apply([document()])


def test_the_next_generation_is_written_through_the_alias(index: Index, api: httpx.Client, alias: str, document: Make) -> None:
    index.ensure(writing=True)
    api.put(f"/{alias}-g2").raise_for_status()
    swap = [{"remove": {"index": f"{alias}-g1", "alias": alias}}, {"add": {"index": f"{alias}-g2", "alias": alias}}]
    api.post("/_aliases", json={"actions": swap}).raise_for_status()
    room = document()
    assert index.apply([room]) == [Applied()]
    assert api.get(f"/{alias}-g2/_doc/{room.id}").status_code == 200
    assert api.get(f"/{alias}-g1/_doc/{room.id}").status_code == 404


def test_what_the_server_refuses_is_refused_alone_with_its_reason(index: Index, document: Make) -> None:
    index.ensure(writing=True)
    good, other = document(), document()
    bad = replace(document(), indexed_at="yesterday")
    outcomes = index.apply([good, bad, other])
    assert [type(each) for each in outcomes] == [Applied, Refused, Applied]
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].reason == "rejected"
    assert "failed to parse" in outcomes[1].detail
    assert index.get(other.id) == other


def test_items_that_cannot_be_written_now_make_the_batch_wait(
    index: Index, api: httpx.Client, alias: str, document: Make
) -> None:
    index.ensure(writing=True)
    api.put(f"/{alias}/_settings", json={"index.blocks.write": True}).raise_for_status()
    with pytest.raises(Unavailable):
        index.apply([document()])


def test_a_large_batch_is_sent_in_portions(index: Index, document: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.adapters.elasticsearch_bulk.BULK", 10_000)
    index.ensure(writing=True)
    batch = [document(description="x" * 3000, coordinates={"lat": 91 if number == 7 else 1, "lon": 1}) for number in range(20)]
    outcomes = index.apply(batch)
    assert [number for number, each in enumerate(outcomes) if isinstance(each, Refused)] == [7]
    assert index.get(batch[19].id) == batch[19]


def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_told(
    document: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        index = ElasticsearchIndex(f"http://elastic:s3cret@127.0.0.1:{free.getsockname()[1]}", ROOMS)
        caplog.set_level(logging.DEBUG)
        steps: list[Callable[[], object]] = [
            *(lambda: index.apply([document()]), lambda: index.search(Query()), lambda: index.get(document().id), index.count),
            *(index.progress, index.ping, lambda: index.ensure(writing=True)),
        ]
        for step in steps:
            with pytest.raises(Unavailable) as caught:
                step()
            assert "s3cret" not in str(caught.value)
        index.close()
    assert "s3cret" not in caplog.text
