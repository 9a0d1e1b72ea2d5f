"""What search asks the rooms service over HTTP."""

import httpx

from common.errors import Unavailable

NEIGHBOUR = "rooms"
#: Seconds until an answer.
ASK = 2.5


def sum_of_versions(url: str) -> int:
    """The sum of the versions of all rooms in the database, tombstones included. Raises Unavailable."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/v1.0/rooms/summary", timeout=ASK)
    except httpx.TransportError as error:
        raise Unavailable(NEIGHBOUR, f"{url}: {str(error) or type(error).__name__}") from error
    if answer.status_code != 200:
        raise Unavailable(NEIGHBOUR, f"{url} answered {answer.status_code}")
    try:
        return int(answer.json()["versions"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable(NEIGHBOUR, f"at {url} something else answers") from None
