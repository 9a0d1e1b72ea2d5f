"""Which addresses may be fetched from: those of the public internet, and what IMAGES_ALLOW lists."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from common.errors import WrongSetting

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast. A list of our own: Python's changes between releases.
_CLOSED_4 = [
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
# Global unicast alone is open: what maps or translates to IPv4 (::ffff:0:0/96, 64:ff9b::/96) is outside it, as is all that is local.
_OPEN_6 = IPv6Network("2000::/3")
# https://www.iana.org/assignments/iana-ipv6-special-registry: of 2000::/3 Teredo and its neighbours, documentation, 6to4, AS112.
_CLOSED_6 = [IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")]
_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?", re.IGNORECASE)


def is_public(address: str) -> bool:
    """Is it one that anybody on the internet reaches? `address` as a resolver gives it."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return ip in _OPEN_6 and ip.scope_id is None and not any(ip in network for network in _CLOSED_6)
    return not any(ip in network for network in _CLOSED_4)


class Allowed:
    """Hosts and addresses, each with or without a port, that are fetched from wherever they are: `127.0.0.1:8080`, `[::1]`, `intranet`."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """Raises WrongSetting."""
        self._entries: set[tuple[str, int | None]] = set()
        for entry in entries:
            match = _ENTRY.fullmatch(entry)
            port = int(match["port"]) if match and match["port"] else None
            if match is None or (port is not None and not 1 <= port <= 65535):
                raise WrongSetting("IMAGES_ALLOW", f"must be hosts or addresses like 127.0.0.1:8080, not {entry!r}")
            self._entries.add((match["host"].strip("[]").lower(), port))

    def __call__(self, host: str, port: int) -> bool:
        return bool(self._entries & {(host, port), (host, None)})
