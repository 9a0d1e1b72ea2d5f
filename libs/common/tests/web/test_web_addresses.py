"""Where a request comes from, when proxies stand before us."""

import pytest

from common.web.addresses import Addresses


def of(peer: str | None, *lines: str, trusted: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8")) -> str:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    return Addresses(trusted).of({"client": (peer, 1) if peer is not None else None, "headers": headers})


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # whoever is not trusted may write anything
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # the client wrote 1.2.3.4 itself
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1 , 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1,, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8:1:2:ffff::1"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("10.0.0.1", ["\xff" * 100], "10.0.0.1"),
        ("", [], ""),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_only_what_trusted_proxies_wrote_counts(peer: str | None, lines: list[str], expected: str) -> None:
    assert of(peer, *lines) == expected


def test_without_trusted_proxies_the_peer_counts() -> None:
    assert of("10.0.0.1", "198.51.100.1", trusted=()) == "10.0.0.1"
