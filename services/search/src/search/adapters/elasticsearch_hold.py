"""Holding writers in Elasticsearch: a write block, which is answered once no write is under way, and an alias that says whose it is.

The alias is what makes a broken hold harmless: who lifts the block takes the alias away first, and a swap fails without it.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import elasticsearch

from common.errors import Unavailable
from search.adapters.elasticsearch_client import Missing, translated

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Seconds after which a writer takes it that the process which holds it has died. A hold takes a second or two.
LONGEST = 20.0


class Blocked(Unavailable):
    """Elasticsearch takes no writes at the moment."""


def held_by(alias: str) -> str:
    """The alias of a generation whose writers are held."""
    return f"{alias}-held"


def hold(client: elasticsearch.Elasticsearch, alias: str, index: str) -> None:
    """Nothing is written to `index` from now on, nor under way. Raises Unavailable."""
    with translated():
        client.indices.put_alias(index=index, name=held_by(alias))
        client.indices.add_block(index=index, block="write")


def let_go(client: elasticsearch.Elasticsearch, alias: str, index: str) -> None:
    """It may be written again; may be repeated. Raises Unavailable."""
    with suppress(Missing), translated():
        client.indices.delete_alias(index=index, name=held_by(alias))
    with suppress(Missing), translated():
        client.indices.put_settings(index=index, settings={"index.blocks.write": None})


class Patience:
    """A writer's: it bears a hold, but not for ever. Safe for any thread."""

    def __init__(self, client: elasticsearch.Elasticsearch, alias: str) -> None:
        self._client, self._alias = client, alias
        self._since: float | None = None

    def writing(self, step: Callable[[], T]) -> T:
        """Runs `step`. When it was Blocked for too long, and by a hold, that is lifted for the next time."""
        try:
            answer = step()
        except Blocked:
            since = self._since = self._since or time.monotonic()
            if time.monotonic() - since > LONGEST:
                self._since = None
                self._lift()
            raise
        self._since = None
        return answer

    def _lift(self) -> None:
        with suppress(Missing), translated():
            for index in self._client.indices.get_alias(name=held_by(self._alias)):
                log.warning("%s was held for more than %.0f s: whoever did must have died; it is written again", index, LONGEST)
                let_go(self._client, self._alias, index)
