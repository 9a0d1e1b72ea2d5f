"""Which addresses are public, and what IMAGES_ALLOW adds."""

import pytest

from common.errors import WrongSetting
from common.images.addresses import Allowed, is_public
from common.images.names import host, image_key, key_of, stored_url, thumbnail_url

CLOSED = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]
OPEN = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
]


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_not_on_the_public_internet_is_closed(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN)
def test_what_is_on_it_is_open(address: str) -> None:
    assert is_public(address)


def test_an_entry_without_a_port_allows_all_of_them_and_one_with_it_no_other() -> None:
    allowed = Allowed(["127.0.0.1:8080", "[::1]:80", "Intranet"])
    assert allowed("127.0.0.1", 8080) and allowed("::1", 80) and allowed("intranet", 80) and allowed("intranet", 443)
    assert not (allowed("127.0.0.1", 80) or allowed("::1", 8080) or allowed("localhost", 8080))
    assert not Allowed()("127.0.0.1", 80)


@pytest.mark.parametrize("entry", ["http://127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "[::1", "10.0.0.0/8", "user@host"])
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(WrongSetting, match="IMAGES_ALLOW"):
        Allowed([entry])


def test_names_follow_from_the_url_alone() -> None:
    url = "https://example.org/a.png"
    key = image_key(url)
    assert len(key) == 64
    assert stored_url("http://here/images/", url) == f"http://here/images/{key}.jpg"
    assert thumbnail_url("http://here/images", url) == f"http://here/images/{key}.thumb.jpg"
    assert key_of(f"{key}.jpg") == key_of(f"{key}.thumb.jpg") == key
    for wrong in (key, f"{key}.png", f"../{key}.jpg", f"{key.upper()}.jpg", f"{key}.jpg\n", ""):
        assert key_of(wrong) is None
    assert host("https://Example.org:8443/a") == "example.org"
    assert host("http://[::1") == ""
