"""Listings at every maximum at once: what is accepted can be stored, told and read back, on both databases."""

import pytest

from common.testing.listings.api import JSON, Api, lines, stored
from common.testing.listings.tested import WIDE, Body, Make, Tested

_URL = 2048


def shown(given: Body) -> Body:
    return given | {"images": stored(given["images"])}


class TestBoundaries:
    @pytest.fixture(params=[0, 1])
    def largest(self, request: pytest.FixtureRequest, tested: Tested, listing: Make) -> Body:
        """One at all maxima."""

        def url(number: int) -> str:
            return f"{listing()['url']}/{number}/".ljust(_URL, "\U00020bb7")

        if request.param >= len(tested.largest):
            pytest.skip("there is no other one")
        images = [{"url": url(number)} for number in range(1, 51)]
        return {**tested.largest[request.param], "url": url(0), "images": images, "is_visible": False}

    def test_the_largest_listing_can_be_posted_and_read_and_sent_back(self, api: Api, largest: Body) -> None:
        created = api.client.post(api.path, content=lines([largest]), headers=JSON)
        assert created.status_code == 201, created.text[:500]
        made = created.json()
        assert made | shown(largest) == made
        path = created.headers["Location"]
        assert api.client.get(path).json() == made
        again = api.client.put(path, json=made).json()
        assert again == made | {"version": 2, "updated_at": again["updated_at"]}
        assert api.patched(made, name=WIDE * 199)["version"] == 3
        assert [told["url"] for told in api.told()] == [largest["url"]] * 3
        assert api.told()[0]["name"] == largest["name"]
        assert api.client.post(api.path, json=largest).headers["Location"] == path
        assert [each["name"] for each in api.listed()] == [WIDE * 199]
        assert api.client.delete(path).status_code == 204

    def test_the_largest_listing_can_be_imported(self, api: Api, largest: Body) -> None:
        outcomes = api.imported([largest, largest, largest | {"name": "smaller"}])
        assert [each["outcome"] for each in outcomes] == ["created", "unchanged", "updated"]
        made = api.client.get(f"{api.path}/{outcomes[0]['id']}").json()
        assert made | shown(largest) | {"name": "smaller"} == made
        assert [told["name"] for told in api.told()] == [largest["name"], "smaller"]

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
