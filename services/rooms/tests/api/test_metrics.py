"""What rooms counts and asks for /metrics, and how it sums itself up."""

import json

from common.testing.metrics import sample, shows

IMPORT = {"Content-Type": "application/x-ndjson"}


def test_lines_of_an_import_are_counted_by_outcome(serve, sqlite_url, listing):
    api = serve(sqlite_url)
    same, changed = listing(), listing()
    lines = [same, changed, listing(), same, changed | {"price": 1}, listing(price=-1)]
    api.client.post("/v1.0/rooms/import", content="".join(json.dumps(line) + "\n" for line in lines), headers=IMPORT)
    page = api.client.get("/metrics").text
    counted = {
        outcome: sample(page, "import_lines_total", outcome=outcome) for outcome in ("created", "updated", "unchanged", "invalid")
    }
    assert counted == {"created": 3, "updated": 1, "unchanged": 1, "invalid": 1}
    assert sample(page, "http_requests_total", service="rooms", operation="import_rooms", status="200") == 1


def test_what_waits_in_the_outbox_is_a_gauge(serve, database_url, listing):
    api = serve(database_url)
    page = api.client.get("/metrics").text
    assert (sample(page, "outbox_pending"), sample(page, "outbox_oldest_seconds")) == (0, 0)
    for _ in range(3):
        api.create(listing())
    before, after = api.client.get("/metrics").text, api.client.get("/metrics").text
    assert sample(before, "outbox_pending") == 3
    assert 0 < sample(before, "outbox_oldest_seconds") < sample(after, "outbox_oldest_seconds")


def test_without_a_database_the_other_numbers_come(serve):
    api = serve("postgresql+psycopg://nobody:secret@127.0.0.1:1/none", migrate=False)
    assert api.client.get("/v1.0/rooms").status_code == 503
    page = api.client.get("/metrics").text
    assert not shows(page, "outbox_pending")
    assert sample(page, "http_requests_total", operation="index", status="503") == 1


def test_the_sum_of_versions_grows_with_every_change(serve, database_url, listing):
    api = serve(database_url)
    assert api.client.get("/v1.0/rooms/summary").json() == {"living": 0, "tombstones": 0, "versions": 0}
    room, other = api.create(listing()), api.create(listing(is_visible=False))
    assert api.client.get("/v1.0/rooms/summary").json() == {"living": 2, "tombstones": 0, "versions": 2}
    api.client.patch(f"/v1.0/rooms/{other['id']}", json={"price": 1})
    api.client.delete(f"/v1.0/rooms/{room['id']}")
    assert api.client.get("/v1.0/rooms/summary").json() == {"living": 1, "tombstones": 1, "versions": 4}
