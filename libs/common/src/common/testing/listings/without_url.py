"""Listings that have no url, for a service in which they need none; its tests import this suite beside the others."""

from dataclasses import replace
from pathlib import Path

from common.listings.ports import Restored
from common.testing.listings.api import Api, Serve
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
