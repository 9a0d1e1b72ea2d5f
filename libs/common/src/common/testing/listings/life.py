"""The life of a listing over HTTP, on both databases: published, read, replaced, patched, withdrawn."""

from datetime import datetime, timedelta

import pytest

from common.testing.listings.api import Api, stored
from common.testing.listings.tested import Body, Make, Tested

IMAGES = [{"url": "https://images.example/1.jpg"}, {"url": "https://images.example/2.jpg"}]


class TestLife:
    def test_a_listing_lives_from_its_publication_to_its_withdrawal(self, api: Api, tested: Tested, listing: Make) -> None:
        given = listing(**tested.optional, images=IMAGES)
        created = api.client.post(api.path, json=given)
        assert created.status_code == 201
        made = created.json()
        path, token = api.at(made), f"{tested.kind.plural}/{made['id']}"
        assert created.headers["Location"] == path
        assert created.headers["ETag"] == '"1"'
        assert created.headers["Atrium-Consistency"] == f"{token}@1"
        assert created.headers["Content-Type"] == "application/json"
        shown = given | {"is_visible": True, "version": 1, "images": stored(IMAGES)}
        assert made | shown == made
        assert datetime.fromisoformat(made["created_at"]).utcoffset() == timedelta(0)
        assert made["created_at"] == made["updated_at"]

        read = api.client.get(created.headers["Location"])
        assert (read.status_code, read.json(), read.headers["ETag"]) == (200, made, '"1"')

        replaced = api.client.put(path, json=given | {"name": "Replaced"})
        assert (replaced.status_code, replaced.headers["ETag"]) == (200, '"2"')
        assert replaced.headers["Atrium-Consistency"] == f"{token}@2"
        assert replaced.json() == made | {"name": "Replaced", "version": 2, "updated_at": replaced.json()["updated_at"]}
        assert replaced.json()["updated_at"] > made["updated_at"]
        assert api.client.get(path).json() == replaced.json()

        patched = api.client.patch(path, json={"is_visible": False})
        assert (patched.status_code, patched.headers["ETag"], patched.json()["is_visible"]) == (200, '"3"', False)

        assert patched.headers["Atrium-Consistency"] == f"{token}@3"
        assert "Atrium-Consistency" not in api.client.get(path).headers

        gone = api.client.delete(f"{api.path}/{made['id'].upper()}")
        assert gone.headers["Atrium-Consistency"] == f"{token}@4"
        assert (gone.status_code, gone.content, "content-type" in gone.headers) == (204, b"", False)
        for answer in (api.client.get(path), api.client.delete(path), api.client.put(path, json=given)):
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
        assert api.client.patch(path, json={}).status_code == 404

        again = api.create(given)
        assert (again["id"] != made["id"], again["version"]) == (True, 1)
        assert api.events() == [
            ("Created", made["id"], 1),
            ("Updated", made["id"], 2),
            ("Updated", made["id"], 3),
            ("Deleted", made["id"], 4),
            ("Created", again["id"], 1),
        ]

    def test_the_events_tell_what_the_answers_showed(self, api: Api, tested: Tested, listing: Make) -> None:
        answers = [api.client.post(api.path, json=listing(**tested.optional, name="Zimmer <b>1</b>", images=IMAGES))]
        answers.append(api.client.patch(api.at(answers[0].json()), json={"name": "房间", "images": None}))
        for answer, told in zip(answers, api.told(), strict=True):
            times = {name: datetime.fromisoformat(answer.json()[name]) for name in ("created_at", "updated_at")}
            assert told == answer.json() | times

    def test_what_was_read_can_be_sent_back_and_derived_values_stay_derived(
        self, api: Api, tested: Tested, listing: Make
    ) -> None:
        made = api.create(listing(images=IMAGES))
        second = api.client.put(api.at(made), json=made).json()
        assert second == made | {"version": 2, "updated_at": second["updated_at"]}
        third = api.client.put(api.at(made), json=second | tested.moved).json()
        assert third == api.patched(made, **tested.moved) | {"version": 3, "updated_at": third["updated_at"]}
        assert api.exported(made["id"])[0]["derived"] == sorted(tested.kind.derivable)

    def test_read_only_fields_are_ignored_whatever_they_hold(self, api: Api, listing: Make) -> None:
        nonsense = {"id": "mine", "version": -5, "created_at": None, "updated_at": {"a": [1]}}
        images = [{"url": IMAGES[0]["url"], "stored_url": "mine", "thumbnail_url": "mine"}]
        made = api.create(listing() | nonsense | {"images": images})
        assert (made["version"], made["images"]) == (1, stored(IMAGES[:1]))
        for send in (api.client.put, api.client.patch):
            changed = send(api.at(made), json=listing() | nonsense | {"images": images}).json()
            assert (changed["id"], changed["created_at"], changed["images"]) == (made["id"], made["created_at"], made["images"])

    def test_a_replacement_without_optional_fields_takes_them_away(self, api: Api, tested: Tested, listing: Make) -> None:
        made, bare = api.create(listing(**tested.optional, is_visible=False, images=IMAGES)), api.create(listing())
        given = listing()
        replaced = api.client.put(api.at(made), json=given).json()
        assert replaced == bare | its_own(replaced, given)
        assert all(bare[name] != made[name] for name in tested.optional), "else this shows nothing"


def its_own(shown: Body, given: Body) -> Body:
    """What this listing differs in from another of the same."""
    return {"url": given["url"], **{name: shown[name] for name in ("id", "version", "created_at", "updated_at")}}


class TestPatch:
    """RFC 7396."""

    def test_only_what_it_names_changes(self, api: Api, tested: Tested, listing: Make) -> None:
        made = api.create(listing(**tested.optional))
        headers = {"Content-Type": "application/merge-patch+json"}
        patched = api.client.patch(api.at(made), json={"name": "New"}, headers=headers)
        assert patched.json() == made | {"name": "New", "version": 2, "updated_at": patched.json()["updated_at"]}

    def test_null_takes_an_optional_field_away(self, api: Api, tested: Tested, listing: Make) -> None:
        made, bare = api.create(listing(**tested.optional, images=IMAGES, is_visible=False)), api.create(listing())
        nulls = [*tested.optional, "images", "is_visible", *([] if tested.url_required else ["url"])]
        patched = api.patched(made, **dict.fromkeys(nulls))
        assert patched == bare | its_own(patched, patched)
        assert patched["url"] == (made["url"] if tested.url_required else None)

    def test_null_does_not_take_a_required_field_away(self, shared: Api, tested: Tested, listing: Make) -> None:
        made = shared.create(listing())
        for field in tested.names:
            refused = shared.client.patch(shared.at(made), json={field: None})
            assert (refused.status_code, [error["name"] for error in refused.json()["errors"]]) == (400, [field])
        assert shared.client.get(shared.at(made)).json() == made

    def test_arrays_are_replaced(self, api: Api, listing: Make) -> None:
        made = api.create(listing(images=[{"url": f"https://images.example/{i}.jpg"} for i in range(3)]))
        new = [{"url": "https://images.example/new.jpg"}]
        assert api.patched(made, images=new)["images"] == stored(new)


class TestConditions:
    """RFC 9110, section 13."""

    def test_who_has_the_version_need_not_read_it_again(self, api: Api, listing: Make) -> None:
        path = api.at(api.create(listing()))
        for tags in ('"1"', 'W/"1"', '"9", "1"', "*"):
            unchanged = api.client.get(path, headers={"If-None-Match": tags})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", '"1"')
        for tags in ('"2"', "nonsense", '"01"'):
            assert api.client.get(path, headers={"If-None-Match": tags}).status_code == 200

    @pytest.mark.parametrize("tags", ['"1"', '"1", "3"', 'W/"2"', '""', '"two"', '"02"'])
    def test_a_change_to_another_version_is_refused_with_the_current_one(self, shared: Api, listing: Make, tags: str) -> None:
        made = shared.create(listing())
        path = shared.at(made)
        shared.patched(made, name="First")
        for method, body in (("PUT", listing()), ("PATCH", {"name": "Second"}), ("DELETE", None)):
            refused = shared.client.request(method, path, json=body, headers={"If-Match": tags})
            assert (refused.status_code, refused.json()["type"]) == (412, "/problems/stale")
            assert (refused.headers["ETag"], refused.json()["version"]) == ('"2"', 2)
        assert shared.client.get(path).json()["name"] == "First"

    def test_a_change_to_the_expected_version_goes_through(self, api: Api, listing: Make) -> None:
        made = api.create(listing())
        for tags, method, body in (
            ('"1"', "PUT", listing()),
            ('"9", "2"', "PATCH", {"name": "2"}),
            ("*", "PATCH", {"name": "3"}),
            ('"4"', "DELETE", None),
        ):
            assert api.client.request(method, api.at(made), json=body, headers={"If-Match": tags}).is_success
        assert [sequence for _, _, sequence in api.events()] == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("tags", ["1", '"1" "2"', '"', "W/1", ","])
    def test_a_condition_that_cannot_be_read_is_refused(self, shared: Api, listing: Make, tags: str) -> None:
        made = shared.create(listing())
        refused = shared.client.patch(shared.at(made), json={"name": "2"}, headers={"If-Match": tags})
        assert refused.status_code == 400
        assert [(error["in"], error["name"]) for error in refused.json()["errors"]] == [("header", "If-Match")]

    def test_a_condition_on_what_is_not_there_is_404(self, api: Api) -> None:
        for method, body in (("PATCH", {}), ("DELETE", None)):
            assert api.client.request(method, api.nobody, json=body, headers={"If-Match": '"1"'}).status_code == 404


class TestConflicts:
    """A url is unique among the living."""

    def test_the_second_to_publish_an_url_is_led_to_the_first(self, own: Api, listing: Make) -> None:
        made = own.create(listing(url="https://A.Example/Attic?B=c"))
        refused = own.client.post(own.path, json=listing(url=" HTTPS://a.example/Attic?B=c "))
        assert (refused.status_code, refused.headers["Location"]) == (409, own.at(made))
        assert (refused.json()["field"], refused.json()["existing_id"]) == ("url", made["id"])
        assert own.client.get(refused.headers["Location"]).json() == made
        assert len(own.events()) == 1

    def test_a_listing_cannot_move_to_anothers_url(self, api: Api, listing: Make) -> None:
        one, other = api.create(listing()), api.create(listing())
        for send, body in ((api.client.put, listing(url=one["url"])), (api.client.patch, {"url": one["url"]})):
            refused = send(api.at(other), json=body)
            assert (refused.status_code, refused.headers["Location"]) == (409, api.at(one))
        assert api.client.get(api.at(other)).json() == other

    def test_an_url_is_free_once_its_listing_moved_on(self, api: Api, listing: Make) -> None:
        one = api.create(listing())
        api.patched(one, url=listing()["url"])
        api.create(listing(url=one["url"]))
