"""Making the index of a kind exist: its template, its first generation, the alias in front of it, and the fields that it lacks."""

import logging

import elasticsearch

from common.errors import Unavailable, WrongSetting
from search.adapters.elasticsearch_client import NEIGHBOUR, Missing, reason_of, translated
from search.adapters.elasticsearch_mapping import mappings, template
from search.kinds import Kind

log = logging.getLogger(__name__)


def make(client: elasticsearch.Elasticsearch, kind: Kind, alias: str) -> None:
    """Any number of processes may do so at once, again and again. Raises Unavailable, and WrongSetting where something is in the way."""
    try:
        with translated():
            client.indices.put_index_template(name=alias, **template(kind, alias))
            if not client.indices.exists_alias(name=alias):
                _create(client, alias)
            # A generation made by an earlier release gains the fields it lacks.
            client.indices.put_mapping(index=alias, dynamic="strict", properties=mappings(kind)["properties"])
    except elasticsearch.BadRequestError as error:
        raise WrongSetting("INDEX_URL", f"the index behind {alias} cannot be used as it is: {reason_of(error)}") from error
    except Missing:
        raise Unavailable(NEIGHBOUR, f"the alias {alias} vanished") from None


def _create(client: elasticsearch.Elasticsearch, alias: str) -> None:
    first = f"{alias}-g1"
    try:
        client.indices.create(index=first, aliases={alias: {}})
        log.info("made the index %s", first)
    except elasticsearch.BadRequestError as error:
        if "invalid_alias_name" in reason_of(error) or "exists with the same name as the alias" in reason_of(error):
            raise WrongSetting("INDEX_URL", f"{alias} is an index there; it must be free for an alias") from error
        if "resource_already_exists" not in reason_of(error):
            raise
        # Another process was faster; or someone took the alias away, which only this may follow.
        if not client.indices.exists_alias(name=alias):
            client.indices.put_alias(index=first, name=alias)
