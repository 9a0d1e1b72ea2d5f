"""Listings at every maximum at once: what is accepted can be stored, told and read back, on both databases."""

import pytest

from common.testing.listings.api import JSON, Api, lines, stored
from common.testing.listings.tested import WIDE, Body, Make, Tested

_URL = 2048


def shown(given: Body) -> Body:
    return given | {"images": stored(given["images"])}


class TestBoundaries:
    @pytest.fixture
    def largest(self, tested: Tested, listing: Make) -> list[Body]:
        """Those at all maxima."""

        def url(number: int) -> str:
            return f"{listing()['url']}/{number}/".ljust(_URL, "\U00020bb7")

        images = [{"url": url(number)} for number in range(1, 51)]
        return [{**each, "url": url(0), "images": images, "is_visible": False} for each in tested.largest]

    def test_the_largest_listing_can_be_posted_and_read_and_sent_back(self, api: Api, largest: list[Body]) -> None:
        for given in largest:
            here = api.from_now_on()
            created = here.client.post(here.path, content=lines([given]), headers=JSON)
            assert created.status_code == 201, created.text[:500]
            made = created.json()
            assert made | shown(given) == made
            path = created.headers["Location"]
            assert here.client.get(path).json() == made
            again = here.client.put(path, json=made).json()
            assert again == made | {"version": 2, "updated_at": again["updated_at"]}
            assert here.patched(made, name=WIDE * 199)["version"] == 3
            assert [told["url"] for told in here.told()] == [given["url"]] * 3
            assert here.told()[0]["name"] == given["name"]
            assert here.client.post(here.path, json=given).headers["Location"] == path
            assert [each["name"] for each in here.listed()] == [WIDE * 199]
            assert here.client.delete(path).status_code == 204

    def test_the_largest_listing_can_be_imported(self, api: Api, largest: list[Body]) -> None:
        for given in largest:
            here = api.from_now_on()
            outcomes = here.imported([given, given, given | {"name": "smaller"}])
            assert [each["outcome"] for each in outcomes] == ["created", "unchanged", "updated"]
            made = here.client.get(f"{here.path}/{outcomes[0]['id']}").json()
            assert made | shown(given) | {"name": "smaller"} == made
            assert [told["name"] for told in here.told()] == [given["name"], "smaller"]

    def test_the_smallest_listing_can_be_posted(self, api: Api, tested: Tested, listing: Make) -> None:
        given = {**tested.smallest, "url": f"http://a/?{listing()['url'][-9:]}"}
        made = api.create(given)
        assert made | given | {"images": [], "is_visible": True} == made
        assert api.told()[0]["url"] == given["url"]

    def test_nothing_but_what_is_required_is_needed(self, api: Api, tested: Tested, listing: Make) -> None:
        body = listing()
        given = {name: value for name, value in body.items() if name in tested.names}
        made = api.create(given)
        assert made | given == made
        assert made["url"] == given.get("url")
