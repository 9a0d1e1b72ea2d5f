"""The API of a service of listings, asked by another service: what it keeps of each id, and how much that is."""

from collections.abc import Collection, Iterator
from typing import Any

import httpx

from common.errors import Unavailable, WrongSetting
from common.events.codec import Undecodable
from common.events.container import Container

#: Ids of one request: its head has to fit.
_IDS = 100
#: Seconds: between two pieces of an export the database reads a page; what is one number must not hold up who looks at it.
_TIMEOUT, _SOON = httpx.Timeout(60, connect=5), httpx.Timeout(2.5)


class ListingsClient:
    """Connects when it is asked, and holds nothing open. Safe to share between threads."""

    def __init__(self, kind: str, url: str, container: Container, auth: httpx.Auth | None = None) -> None:
        """`kind` is the service's name, `url` its address, without a path; `container` reads its exports.

        All that is asked here needs `auth` where the service knows an issuer. Raises WrongSetting.
        """
        self._kind, self._url, self._container, self._auth = kind, url.rstrip("/"), container, auth
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise WrongSetting(f"{kind.upper()}_URL", f"cannot be used: {error}") from error

    def exported(self, ids: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """Data of `…Exported`, ordered by id, streamed: everything, or what is kept of these ids. Raises Unavailable, also later."""
        if ids is None:
            yield from self._exported([])
            return
        chosen = sorted(ids)
        for start in range(0, len(chosen), _IDS):
            yield from self._exported(chosen[start : start + _IDS])

    def versions(self) -> int:
        """The sum of all versions, tombstones' too. Raises Unavailable, after a few seconds at most."""
        try:
            answer = httpx.get(f"{self._url}/v1.0/{self._kind}/summary", auth=self._auth, timeout=_SOON)
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        if answer.status_code != httpx.codes.OK:
            raise self._unavailable(f"it answered {answer.status_code}")
        try:
            return int(answer.json()["versions"])
        except (ValueError, KeyError, TypeError):
            raise self._unavailable(f"what answers there is no {self._kind} API") from None

    def _exported(self, ids: list[str]) -> Iterator[dict[str, Any]]:
        address, asked = f"{self._url}/v1.0/{self._kind}/export", {"id": ids}
        try:
            with httpx.stream("GET", address, params=asked, auth=self._auth, timeout=_TIMEOUT) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise self._unavailable(f"it answered {answer.status_code} {answer.text[:200]}")
                yield from self._container.read(answer.iter_raw())
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        except Undecodable as error:
            raise self._unavailable(f"its export cannot be read: {error.reason}") from error

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(f"the {self._kind} API at {self._url}", reason)
