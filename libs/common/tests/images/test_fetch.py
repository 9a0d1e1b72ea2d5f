"""Where a fetch goes, where it does not, and that it is the named server that answers."""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.images.addresses import Allowed
from common.images.connection import Stopped
from common.images.fetch import Fetcher, Limits
from common.images.reasons import NotAvailable
from common.testing.image_server import ImageServer, image_server, jpeg
from common.testing.real_servers import fail_or_skip

GO_ON = threading.Event()


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(NotAvailable) as failure:
        yield
    assert failure.value.reason == reason


@pytest.fixture
def fetch(origin: ImageServer) -> Fetcher:
    return Fetcher(Allowed([origin.address]), Limits(seconds=10))


def test_a_good_one_comes_as_it_is(fetch: Fetcher, origin: ImageServer) -> None:
    assert fetch(origin.url("/good.jpg"), GO_ON) == jpeg()
    assert fetch(origin.redirect("/good.jpg"), GO_ON) == jpeg()


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "ftp://example.org/a.jpg",
            "http://",
            "http:///a.jpg",
            "data:image/png;base64,AA",
            "//example.org/a",
        ),
        *(
            "http://user:secret@example.org/a.jpg",
            "http://user@example.org/a.jpg",
            "http://example.org:99999/",
            "http://[::1/a.jpg",
        ),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(fetch: Fetcher, url: str) -> None:
    with refused("wrong-url"):
        fetch(url, GO_ON)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127.0.0.1.",
        "１２７.0.0.1",
    ],
)
def test_loopback_is_forbidden_in_every_spelling(origin: ImageServer, host: str) -> None:
    with pytest.raises(NotAvailable) as failure:
        Fetcher()(f"http://{host}:{origin.port}/good.jpg", GO_ON)
    assert failure.value.reason in ("forbidden-address", "unknown-host", "wrong-url")  # not every system reads each of them
    assert not origin.asked


@pytest.mark.parametrize("found", [["10.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["93.184.215.14", "::1"], ["64:ff9b::a00:1"]])
def test_one_closed_address_closes_a_name(found: list[str]) -> None:
    with refused("forbidden-address"):
        Fetcher(resolve=lambda _host, _port: found)("http://example.org/a.jpg", GO_ON)


def test_a_name_that_does_not_resolve_is_unknown() -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    with refused("unknown-host"):
        Fetcher(resolve=resolve)("http://example.org/a.jpg", GO_ON)


def test_an_address_that_takes_no_connection_gives_way_to_the_next(origin: ImageServer) -> None:
    fetch = Fetcher(Allowed(["two.test"]), resolve=lambda _host, _port: ["127.0.0.2", "127.0.0.1"])
    assert fetch(origin.url("/good.jpg", host="two.test"), GO_ON) == jpeg()
    with refused("unreachable"):
        Fetcher(Allowed(["127.0.0.1:1"]))("http://127.0.0.1:1/a.jpg", GO_ON)


def test_a_redirect_to_another_scheme_or_with_credentials_is_refused(fetch: Fetcher, origin: ImageServer) -> None:
    for to in ("file:///etc/passwd", f"http://user:secret@{origin.address}/good.jpg", "gopher://example.org/"):
        with refused("wrong-url"):
            fetch(origin.redirect(to), GO_ON)


def test_proxies_of_the_environment_are_ignored(fetch: Fetcher, origin: ImageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(origin.url("/good.jpg"), GO_ON) == jpeg()


def test_a_resolver_that_does_not_answer_is_too_slow() -> None:
    ended = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        ended.wait()
        return []

    with refused("too-slow"):
        Fetcher(resolve=resolve, limits=Limits(seconds=0.3))("http://example.org/a.jpg", GO_ON)
    ended.set()


def test_told_to_stop_it_waits_no_longer(fetch: Fetcher, origin: ImageServer) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped):
        fetch(origin.url("/silent.jpg"), stop)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of pictures.test, with its key."""
    path = tmp_path_factory.mktemp("tls") / "pictures.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=pictures.test", "-addext", "subjectAltName=DNS:pictures.test", "-keyout", str(path), "-out", "-"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        fail_or_skip("openssl is missing")
    path.write_bytes(path.read_bytes() + done.stdout)
    return path


def secure(certificate: Path) -> tuple[ssl.SSLContext, Callable[[str], Fetcher]]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)

    def fetcher(trusted: str) -> Fetcher:
        tls = {"tls": ssl.create_default_context(cafile=trusted)} if trusted else {}
        return Fetcher(Allowed(["127.0.0.1"]), resolve=lambda _host, _port: ["127.0.0.1"], **tls)

    return server, fetcher


def test_tls_verifies_the_name_though_the_address_is_pinned(certificate: Path) -> None:
    server, fetcher = secure(certificate)
    with image_server(server) as origin:
        trusting = fetcher(str(certificate))
        assert trusting(f"https://pictures.test:{origin.port}/good.jpg", GO_ON) == jpeg()
        for url, fetch in (
            (f"https://another.test:{origin.port}/good.jpg", trusting),
            (f"https://pictures.test:{origin.port}/good.jpg", fetcher("")),
        ):
            with refused("unreachable"):
                fetch(url, GO_ON)
        assert origin.asked["/good.jpg"] == 1
