"""Where a request comes from: its peer, or whom the proxies that are trusted say they forward for."""

import ipaddress
from collections.abc import Iterable, Iterator

from starlette.types import Scope

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Addresses:
    """Reads X-Forwarded-For from the right, as far as those who wrote it are in `trusted` networks (CIDR)."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = [ipaddress.ip_network(network, strict=False) for network in trusted]

    def of(self, scope: Scope) -> str:
        """The client's address; of IPv6 its /64, as one client has all of it. Empty where a socket has no addresses."""
        client = scope.get("client")
        found = _parse(client[0]) if client else None
        if found is None:
            return client[0] if client else ""
        if self._trusted and self._trusts(found):
            for text in _forwarded(scope):
                entry = _parse(text)
                if entry is None:
                    break  # nobody can say who wrote what stands to the left of it
                found = entry
                if not self._trusts(found):
                    break
        return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _forwarded(scope: Scope) -> Iterator[str]:
    """The entries of X-Forwarded-For, of all its lines, rightmost first."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    for line in reversed(lines):
        yield from reversed(line.split(","))


def _parse(text: str) -> _Address | None:
    """An address, also with a port behind it; IPv4 that is written as IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
