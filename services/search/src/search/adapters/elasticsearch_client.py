"""The client of Elasticsearch: whom it speaks to, and its errors in ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import elastic_transport
import elasticsearch

from common.errors import Unavailable, WrongSetting

NEIGHBOUR = "Elasticsearch"
SEARCH_TIMEOUT = 10.0


class Missing(Exception):
    """The alias or the index leads nowhere."""


def connect(url: str, api_key: str) -> tuple[elasticsearch.Elasticsearch, str]:
    """A client, and the prefix of all names. Raises WrongSetting."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise WrongSetting("INDEX_URL", "must name a host")
    port = parts.port or (443 if parts.scheme == "https" else 9200)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    basic = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    client = elasticsearch.Elasticsearch(
        f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}",
        basic_auth=None if api_key else basic,
        api_key=api_key or None,
        request_timeout=SEARCH_TIMEOUT,
        retry_on_timeout=False,
        max_retries=0,
        connections_per_node=32,
    )
    return client, parse_qs(parts.query).get("prefix", [""])[0]


@contextmanager
def translated() -> Iterator[None]:
    """The client's errors in ours. What is left is a mistake of this adapter."""
    try:
        yield
    except elasticsearch.NotFoundError as error:
        raise Missing from error
    except elasticsearch.ApiError as error:
        if error.status_code in (401, 403, 408, 429) or error.status_code >= 500:
            raise Unavailable(NEIGHBOUR, f"{error.status_code} {reason_of(error)[:300]}") from error
        raise
    except elastic_transport.TransportError as error:
        # Its text holds the server's address, never a password: those travel in a header.
        raise Unavailable(NEIGHBOUR, f"{type(error).__name__}: {str(error.message)[:300]}") from error


def reason_of(error: elasticsearch.ApiError) -> str:
    body = error.body
    cause = body.get("error") if isinstance(body, dict) else body
    text = f"{cause.get('type')}: {cause.get('reason')}" if isinstance(cause, dict) else str(cause)
    return " ".join(text.split())
