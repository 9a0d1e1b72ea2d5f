"""Generations in Elasticsearch: indices `rooms-g1`, `rooms-g2` …, one of them behind the alias `rooms`; the same for each kind."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from common.errors import Unavailable, WrongSetting
from search.adapters.elasticsearch import BULK_TIMEOUT, ElasticsearchIndex
from search.adapters.elasticsearch_client import NEIGHBOUR, Missing, connect, translated
from search.adapters.elasticsearch_hold import held_by, hold, let_go
from search.adapters.elasticsearch_mapping import template
from search.domain import Generation
from search.kinds import Kind
from search.ports import Generations, Index

log = logging.getLogger(__name__)


class ElasticsearchGenerations(Generations):
    def __init__(self, url: str, kind: Kind, api_key: str = "") -> None:
        """As ElasticsearchIndex. Connects to nothing yet."""
        self._url, self._kind, self._api_key = url, kind, api_key
        client, prefix = connect(url, api_key)
        self._client = client.options(request_timeout=BULK_TIMEOUT)
        self._alias = f"{prefix}{kind}"
        self._pattern = re.compile(rf"{re.escape(self._alias)}-g([1-9][0-9]*)")

    def all(self) -> Sequence[Generation]:
        with translated():
            found = self._client.indices.get_alias(index=f"{self._alias}-g*")
            generations = []
            for name, entry in found.items():
                if match := self._pattern.fullmatch(name):
                    documents = self._client.count(index=name, query={"exists": {"field": "id"}})["count"]
                    generations.append(Generation(int(match[1]), self._alias in entry["aliases"], documents))
        if sum(each.live for each in generations) != 1:
            raise WrongSetting(
                "INDEX_URL", f"no index, or more than one, is behind {self._alias}; `search migrate` makes the first"
            )
        return sorted(generations, key=lambda each: each.number)

    def make(self) -> int:
        number = 1 + max(each.number for each in self.all())
        with translated():
            self._client.indices.put_index_template(name=self._alias, **template(self._kind, self._alias))
            self._client.indices.create(index=self._name(number))
        return number

    def open(self, number: int) -> Index:
        return ElasticsearchIndex(self._url, self._kind, self._api_key, generation=number)

    def mark(self) -> int:
        """The sequence number that every shard has reached; each change gets one that is higher than all before in its shard."""
        name = self._live()
        with translated():
            shards = self._client.indices.stats(index=name, level="shards")["indices"][name]["shards"]
        return min(int(copy["seq_no"]["max_seq_no"]) for copies in shards.values() for copy in copies)

    @contextmanager
    def hold(self, mark: int) -> Iterator[Iterable[tuple[str, int]]]:
        name = self._live()
        try:
            hold(self._client, self._alias, name)
            with translated():
                self._client.indices.refresh(index=name)
            with closing(ElasticsearchIndex(self._url, self._kind, self._api_key)) as live:
                since = {"range": {"_seq_no": {"gt": mark}}}
                yield live.changes({"bool": {"filter": [{"exists": {"field": "id"}}, since]}})
        finally:
            let_go(self._client, self._alias, name)

    def swap(self, number: int) -> None:
        before, name = self._live(), self._name(number)
        actions: list[dict[str, Any]] = [
            {"remove": {"index": before, "alias": held_by(self._alias), "must_exist": True}},
            {"remove": {"index": before, "alias": self._alias, "must_exist": True}},
            {"add": {"index": name, "alias": self._alias}},
        ]
        try:
            with translated():
                self._client.indices.refresh(index=name)
                self._client.indices.update_aliases(actions=actions)
        except Missing:
            raise Unavailable(NEIGHBOUR, f"writers of {before} are not held any more") from None
        log.info("%s is live, after %s", name, before)

    def remove(self, number: int) -> None:
        with translated():
            self._client.indices.delete(index=self._name(number), ignore_unavailable=True)

    def tidy(self) -> None:
        for each in self.all():
            let_go(self._client, self._alias, self._name(each.number))

    def _name(self, number: int) -> str:
        return f"{self._alias}-g{number}"

    def _live(self) -> str:
        return next(self._name(each.number) for each in self.all() if each.live)
