"""The life of a room over HTTP, on both databases: published, read, replaced, patched, withdrawn."""

from datetime import datetime
from typing import Any

import pytest

KREUZBERG = {"lat": 52.4986, "lon": 13.4034}
LYON = {"lat": 45.7578, "lon": 4.832}
GIVEN_AREA = {"id": "7", "name": "Canal", "city": "Berlin", "country": "Germany", "coordinates": {"lat": 1.5, "lon": 2.5}}


def path(room: dict[str, Any]) -> str:
    return f"/v1.0/rooms/{room['id']}"


def test_a_room_lives_from_its_publication_to_its_withdrawal(api, listing):
    given = listing(property_size=18.5, currency="usd", recurrency="WEEKLY", images=[{"url": "https://rooms.example/1.jpg"}])
    created = api.client.post("/v1.0/rooms", json=given)
    assert created.status_code == 201
    room = created.json()
    assert created.headers["Location"] == path(room)
    assert created.headers["ETag"] == '"1"'
    assert created.headers["Atrium-Consistency"] == f"rooms/{room['id']}@1"
    assert created.headers["Content-Type"] == "application/json"
    shown = given | {"currency": "USD", "recurrency": "weekly", "is_visible": True, "monthly_price": 2817, "version": 1}
    shown["images"] = api.stored(given["images"])
    assert room | shown == room
    assert room["area"]["city"] == "Berlin"
    assert datetime.fromisoformat(room["created_at"]).utcoffset().total_seconds() == 0
    assert room["created_at"] == room["updated_at"]

    read = api.client.get(created.headers["Location"])
    assert (read.status_code, read.json(), read.headers["ETag"]) == (200, room, '"1"')

    replaced = api.client.put(path(room), json=given | {"price": 10})
    assert (replaced.status_code, replaced.headers["ETag"]) == (200, '"2"')
    assert replaced.headers["Atrium-Consistency"] == f"rooms/{room['id']}@2"
    assert (replaced.json()["monthly_price"], replaced.json()["created_at"]) == (43, room["created_at"])
    assert replaced.json()["updated_at"] > room["updated_at"]
    assert api.client.get(path(room)).json() == replaced.json()

    patched = api.client.patch(path(room), json={"is_visible": False})
    assert (patched.status_code, patched.headers["ETag"], patched.json()["is_visible"]) == (200, '"3"', False)

    assert patched.headers["Atrium-Consistency"] == f"rooms/{room['id']}@3"
    assert "Atrium-Consistency" not in api.client.get(path(room)).headers

    gone = api.client.delete(path(room).upper().replace("/V1.0/ROOMS", "/v1.0/rooms"))
    assert gone.headers["Atrium-Consistency"] == f"rooms/{room['id']}@4"
    assert (gone.status_code, gone.content, "content-type" in gone.headers) == (204, b"", False)
    for answer in (api.client.get(path(room)), api.client.delete(path(room)), api.client.put(path(room), json=given)):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert api.client.patch(path(room), json={}).status_code == 404

    again = api.create(given)
    assert (again["id"] != room["id"], again["version"]) == (True, 1)
    assert api.events() == [
        ("RoomCreated", room["id"], 1),
        ("RoomUpdated", room["id"], 2),
        ("RoomUpdated", room["id"], 3),
        ("RoomDeleted", room["id"], 4),
        ("RoomCreated", again["id"], 1),
    ]


def test_the_events_tell_what_the_answers_showed(api, listing):
    answers = [api.client.post("/v1.0/rooms", json=listing(name="Zimmer <b>1</b>", area=GIVEN_AREA, property_size=12))]
    answers.append(api.client.patch(path(answers[0].json()), json={"name": "房间", "area": None, "monthly_price": 5}))
    for answer, told in zip(answers, api.told(), strict=True):
        times = {name: datetime.fromisoformat(answer.json()[name]) for name in ("created_at", "updated_at")}
        assert told == answer.json() | times


def test_a_room_is_furnished_or_not_or_nobody_has_said(api, listing):
    room = api.create(listing())
    assert room["furnished"] is None
    for send, told in [(api.client.put, True), (api.client.patch, False), (api.client.patch, None), (api.client.put, False)]:
        room = send(path(room), json={"furnished": told} if send == api.client.patch else room | {"furnished": told}).json()
        assert (room["furnished"], api.told()[-1]["furnished"]) == (told, told)
    assert api.create(listing(furnished=True))["furnished"] is True
    assert api.client.put(path(room), json=listing()).json()["furnished"] is None


def test_what_was_read_can_be_sent_back_and_derived_values_stay_derived(api, listing):
    room = api.create(listing(price=100, recurrency="daily"))
    assert (room["monthly_price"], room["area"]["city"]) == (3000, "Berlin")

    second = api.client.put(path(room), json=room).json()
    assert second == room | {"version": 2, "updated_at": second["updated_at"]}

    third = api.client.put(path(room), json=second | {"price": 200, "coordinates": LYON}).json()
    assert (third["monthly_price"], third["area"]["city"], third["area"]["country"]) == (6000, "Lyon", "France")

    fourth = api.client.put(path(room), json=third | {"monthly_price": 5500, "area": GIVEN_AREA}).json()
    assert (fourth["monthly_price"], fourth["area"]) == (5500, GIVEN_AREA)

    fifth = api.client.put(path(room), json=fourth | {"price": 300, "coordinates": KREUZBERG}).json()
    assert (fifth["monthly_price"], fifth["area"]) == (5500, GIVEN_AREA), "what was given stays as it was given"

    last = api.client.put(path(room), json={k: v for k, v in fifth.items() if k not in ("monthly_price", "area")}).json()
    assert (last["monthly_price"], last["area"]["city"]) == (9000, "Berlin")


def test_read_only_fields_are_ignored_whatever_they_hold(api, listing):
    nonsense = {"id": "mine", "version": -5, "created_at": None, "updated_at": {"a": [1]}}
    room = api.create(listing() | nonsense)
    assert room["version"] == 1
    for send in (api.client.put, api.client.patch):
        changed = send(path(room), json=listing() | nonsense).json()
        assert (changed["id"], changed["created_at"]) == (room["id"], room["created_at"])


def test_a_replacement_without_optional_fields_takes_them_away(api, listing):
    given = listing(
        property_size=3, area=GIVEN_AREA, is_visible=False, images=[{"url": "https://rooms.example/1.jpg"}], currency="CHF"
    )
    room = api.create(given)
    bare = api.client.put(path(room), json=listing()).json()
    assert (bare["property_size"], bare["is_visible"], bare["images"], bare["currency"]) == (None, True, [], "EUR")
    assert bare["area"]["id"] is None


class TestPatch:
    """RFC 7396, with derived values that come back."""

    def test_only_what_it_names_changes(self, api, listing):
        room = api.create(listing(property_size=12.5))
        patched = api.client.patch(path(room), json={"name": "New"}, headers={"Content-Type": "application/merge-patch+json"})
        assert patched.json() == room | {"name": "New", "version": 2, "updated_at": patched.json()["updated_at"]}

    def test_null_takes_an_optional_field_away(self, api, listing):
        images = [{"url": "https://rooms.example/1.jpg"}]
        room = api.create(
            listing(property_size=1, monthly_price=1, area=GIVEN_AREA, images=images, is_visible=False, currency="USD")
        )
        nulls = dict.fromkeys(("property_size", "monthly_price", "area", "images", "is_visible", "currency"))
        bare = api.client.patch(path(room), json=nulls).json()
        assert (bare["property_size"], bare["monthly_price"], bare["area"]["city"]) == (None, 650, "Berlin")
        assert (bare["images"], bare["is_visible"], bare["currency"]) == ([], True, "EUR")

    @pytest.mark.parametrize("field", ["name", "description", "price", "recurrency", "provider", "url", "coordinates"])
    def test_null_does_not_take_a_required_field_away(self, shared, listing, field):
        room = shared.create(listing())
        refused = shared.client.patch(path(room), json={field: None})
        assert (refused.status_code, [error["name"] for error in refused.json()["errors"]]) == (400, [field])
        assert shared.client.get(path(room)).json() == room

    def test_the_monthly_price_follows_the_price_until_it_is_given(self, api, listing):
        room = api.create(listing(price=10, recurrency="weekly"))

        def patched(**changes: Any) -> int:
            return api.client.patch(path(room), json=changes).json()["monthly_price"]

        assert patched(price=100) == 433
        assert patched(recurrency="daily") == 3000
        assert patched(monthly_price=3000) == 3000, "given now, though it is the same"
        assert patched(price=1) == 3000
        assert patched(monthly_price=None) == 30

    def test_the_area_follows_the_coordinates_until_it_is_given(self, api, listing):
        room = api.create(listing())

        def patched(**changes: Any) -> dict[str, Any]:
            area: dict[str, Any] = api.client.patch(path(room), json=changes).json()["area"]
            return area

        assert patched(coordinates=LYON)["city"] == "Lyon"
        assert patched(coordinates={"lon": 13.4034, "lat": 52.4986})["city"] == "Berlin"
        touched = patched(area={"name": "By the canal"})
        assert (touched["name"], touched["city"]) == ("By the canal", "Berlin"), "merged into what is shown"
        assert patched(coordinates=LYON) == touched
        assert patched(area={"coordinates": None}) == touched | {"coordinates": None}
        assert patched(area=None)["city"] == "Lyon"

    def test_half_a_pair_of_coordinates_is_merged(self, api, listing):
        room = api.create(listing())
        assert api.client.patch(path(room), json={"coordinates": {"lat": 45.7578}}).json()["coordinates"] == {
            "lat": 45.7578,
            "lon": 13.4034,
        }
        refused = api.client.patch(path(room), json={"coordinates": {"lat": None}})
        assert [error["name"] for error in refused.json()["errors"]] == ["coordinates.lat"]

    def test_an_incomplete_area_is_refused_where_there_was_none(self, api, listing):
        room = api.create(listing(coordinates={"lat": 0, "lon": -30}))
        assert room["area"] is None
        refused = api.client.patch(path(room), json={"area": {"name": "Atlantic"}})
        assert {error["name"] for error in refused.json()["errors"]} == {"area.city", "area.country"}

    def test_arrays_are_replaced(self, api, listing):
        room = api.create(listing(images=[{"url": f"https://rooms.example/{i}.jpg"} for i in range(3)]))
        new = [{"url": "https://rooms.example/new.jpg"}]
        assert api.client.patch(path(room), json={"images": new}).json()["images"] == api.stored(new)


class TestConditions:
    """RFC 9110, section 13."""

    def test_who_has_the_version_need_not_read_it_again(self, api, listing):
        room = api.create(listing())
        for tags in ('"1"', 'W/"1"', '"9", "1"', "*"):
            unchanged = api.client.get(path(room), headers={"If-None-Match": tags})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", '"1"')
        for tags in ('"2"', "nonsense", '"01"'):
            assert api.client.get(path(room), headers={"If-None-Match": tags}).status_code == 200

    @pytest.mark.parametrize("tags", ['"1"', '"1", "3"', 'W/"2"', '""', '"two"', '"02"'])
    def test_a_change_to_another_version_is_refused_with_the_current_one(self, shared, listing, tags):
        room = shared.create(listing())
        shared.client.patch(path(room), json={"price": 1})
        for method, body in (("PUT", listing()), ("PATCH", {"price": 2}), ("DELETE", None)):
            refused = shared.client.request(method, path(room), json=body, headers={"If-Match": tags})
            assert (refused.status_code, refused.json()["type"]) == (412, "/problems/stale")
            assert (refused.headers["ETag"], refused.json()["version"]) == ('"2"', 2)
        assert shared.client.get(path(room)).json()["price"] == 1

    def test_a_change_to_the_expected_version_goes_through(self, api, listing):
        room = api.create(listing())
        for tags, method, body in (
            ('"1"', "PUT", listing()),
            ('"9", "2"', "PATCH", {"price": 2}),
            ("*", "PATCH", {"price": 3}),
            ('"4"', "DELETE", None),
        ):
            assert api.client.request(method, path(room), json=body, headers={"If-Match": tags}).is_success
        assert [sequence for _, _, sequence in api.events()] == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("tags", ["1", '"1" "2"', '"', "W/1", ","])
    def test_a_condition_that_cannot_be_read_is_refused(self, shared, listing, tags):
        room = shared.create(listing())
        refused = shared.client.patch(path(room), json={"price": 2}, headers={"If-Match": tags})
        assert refused.status_code == 400
        assert [(error["in"], error["name"]) for error in refused.json()["errors"]] == [("header", "If-Match")]

    def test_a_condition_on_what_is_not_there_is_404(self, api):
        for method, body in (("PATCH", {}), ("DELETE", None)):
            path = "/v1.0/rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
            assert api.client.request(method, path, json=body, headers={"If-Match": '"1"'}).status_code == 404


class TestConflicts:
    """A url is unique among the living."""

    def test_the_second_to_publish_an_url_is_led_to_the_first(self, api, listing):
        room = api.create(listing(url="https://Rooms.Example/Attic?B=c"))
        refused = api.client.post("/v1.0/rooms", json=listing(url=" HTTPS://rooms.example/Attic?B=c "))
        assert (refused.status_code, refused.headers["Location"]) == (409, path(room))
        assert (refused.json()["field"], refused.json()["existing_id"]) == ("url", room["id"])
        assert api.client.get(refused.headers["Location"]).json() == room
        assert len(api.events()) == 1

    def test_a_room_cannot_move_to_anothers_url(self, api, listing):
        one, other = api.create(listing()), api.create(listing())
        for send, body in ((api.client.put, listing(url=one["url"])), (api.client.patch, {"url": one["url"]})):
            refused = send(path(other), json=body)
            assert (refused.status_code, refused.headers["Location"]) == (409, path(one))
        assert api.client.get(path(other)).json() == other

    def test_an_url_is_free_once_its_room_moved_on(self, api, listing):
        one = api.create(listing())
        api.client.patch(path(one), json={"url": "https://rooms.example/elsewhere"})
        api.create(listing(url=one["url"]))
