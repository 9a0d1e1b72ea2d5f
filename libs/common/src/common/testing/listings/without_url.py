"""Listings that have no url, for a service in which they need none; its tests import this suite beside the others."""

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from common.listings.domain import IDEMPOTENCY_KEY
from common.listings.ports import Restored
from common.testing.listings.api import Api, Serve, lines
from common.testing.listings.backup import Exported
from common.testing.listings.command_line import Run
from common.testing.listings.contract import moved
from common.testing.listings.repository import Shelf
from common.testing.listings.tested import Make, MakeListing, kept


class TestWithoutUrl(Exported):
    def test_any_number_may_be_without_one(self, shelf: Shelf, a_listing: MakeListing) -> None:
        one, other = a_listing(url=None), a_listing(url=None)
        shelf.listings.add(one)
        assert shelf.listings.store([other], []) == [True]
        assert shelf.listings.list({}, None, 10) == [one, other]
        shelf.listings.put(moved(one, url="https://a.example/late"))
        shelf.listings.put(moved(shelf.listings.get(one.id), url=None))
        shelf.listings.add(heir := a_listing(url="https://a.example/late"))
        assert shelf.listings.restore([kept(replace(other, version=5)), kept(a_listing(url=None))]) == [Restored("restored")] * 2
        assert shelf.listings.by_urls(["https://a.example/late"]) == {"https://a.example/late": heir}
        assert [(what, sequence) for what, _, sequence in shelf.events()] == [
            ("Created", 1),
            ("Created", 1),
            ("Updated", 2),
            ("Updated", 3),
            ("Created", 1),
            ("Updated", 5),
            ("Created", 1),
        ]

    def test_each_line_of_an_import_is_a_new_listing(self, api: Api, listing: Make) -> None:
        bare = {name: value for name, value in listing().items() if name != "url"}
        outcomes = api.imported([bare, bare, bare | {"url": None}]) + api.imported([bare])
        assert [each["outcome"] for each in outcomes] == ["created"] * 4
        assert [each["id"] for each in api.listed()] == [each["id"] for each in outcomes]
        # What was read and is sent again is no other: ids do not tell listings of an import apart.
        assert [each["outcome"] for each in api.imported(api.listed())] == ["created"] * 4

    def test_they_come_back_from_an_export_as_they_were(
        self, run: Run, serve: Serve, listing: Make, elsewhere: str, file: Path, tmp_path: Path
    ) -> None:
        api, other = serve(f"sqlite:///{tmp_path}/one.db"), serve(elsewhere)
        made = [api.create(listing(url=None)) for _ in range(3)]
        api.client.delete(api.at(made[0])).raise_for_status()
        assert run("export", file, "--url", api.client.base_url)[0] == 0
        for _ in range(2):
            assert run("import", file, DATABASE_URL=elsewhere)[0] == 0
        assert other.exported() == api.exported()
        assert other.listed() == made[1:]

    def test_a_url_comes_and_goes(self, api: Api, listing: Make) -> None:
        made, given = api.create(listing(url=None)), listing()
        assert made["url"] is None
        assert api.patched(made, url=given["url"])["url"] == given["url"]
        assert api.client.post(api.path, json=given).headers["Location"] == api.at(made)
        assert api.patched(made, url=None)["url"] is None
        assert api.create(given)["url"] == given["url"]
        assert [told["url"] for told in api.told()] == [None, given["url"], None, given["url"]]

    def test_a_line_that_comes_again_under_its_key_is_no_other(self, own: Api, listing: Make) -> None:
        bare, with_url = listing(url=None), listing()
        first = own.imported([bare, with_url, bare, b"no JSON"], "k-1")
        assert [each["outcome"] for each in first] == ["created", "created", "created", "invalid"]
        events = len(own.events())
        again = own.imported([bare, with_url, bare, bare], "k-1")
        assert [(each["outcome"], each["id"]) for each in again[:3]] == [
            ("created", first[0]["id"]),
            ("unchanged", first[1]["id"]),
            ("created", first[2]["id"]),
        ]
        assert again[3]["outcome"] == "created", "what was refused has used no key"
        assert len(own.events()) == events + 1
        # A place of its own, whatever stands in the others; another key is another import.
        assert own.imported([b"", b"", bare], "k-1") == again[2:3]
        assert own.imported([bare], "k-2")[0]["id"] not in {each["id"] for each in again}

    def test_another_line_in_its_place_is_refused_by_name(self, own: Api, listing: Make) -> None:
        own.imported([listing(url=None)], "k-1")
        (refused,) = own.imported([listing(url=None, name="Another")], "k-1")
        assert refused["outcome"] == "invalid"
        assert [(error["in"], error["name"]) for error in refused["problem"]["errors"]] == [("header", IDEMPOTENCY_KEY)]
        assert len(own.listed()) == 1

    def test_of_many_imports_at_once_one_creates(self, own: Api, listing: Make) -> None:
        bare = [listing(url=None) for _ in range(40)]
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda _: own.imported(bare, "k-1"), range(8)))
        assert outcomes == [outcomes[0]] * 8
        assert sorted(each["id"] for each in outcomes[0]) == sorted(each["id"] for each in own.listed())
        assert len(own.events()) == 40

    @pytest.mark.parametrize("passed", [0, 700, 50_000])
    def test_a_file_is_imported_once_though_its_outcomes_are_cut_off(
        self, run: Run, own: Api, listing: Make, tmp_path: Path, passed: int
    ) -> None:
        """Everything is written, and the client hears of it after so many bytes, or not at all."""
        file = tmp_path / "bare.ndjson"
        file.write_bytes(lines([listing(url=None) for _ in range(2100)]))
        with cut_off(own.client.base_url.port or 0, [passed, passed]) as url:
            status, _, said = run("import", file, "--url", url)
        assert (status, said.splitlines()[-1].partition(" · ")[0]) == (0, "2,100 listings: 2,100 created")
        assert len(own.listed()) == 2100
        assert run("import", file, "--url", own.client.base_url)[0] == 0
        assert len(own.listed()) == 2100, "the same file is the same import"


@contextmanager
def cut_off(port: int, passes: Sequence[int]) -> Iterator[str]:
    """A way to that port whose first connections are cut once so many bytes of the answer have passed and all of it was there."""
    left = list(passes)

    def carry(client: socket.socket) -> None:
        passed = left.pop(0) if left else None
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            to_server = threading.Thread(target=pump, args=(client, server), daemon=True)
            to_server.start()
            if passed is None:
                pump(server, client)
                return
            answer = b""
            while not answer.endswith(b"0\r\n\r\n") and (piece := server.recv(65536)):
                answer += piece
            client.sendall(answer[:passed])
            client.shutdown(socket.SHUT_RDWR)  # closing alone does not, while the other thread reads

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert not left


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
