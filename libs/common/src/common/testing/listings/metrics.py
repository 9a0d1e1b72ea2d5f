"""What such a service counts and asks for /metrics, and how it sums itself up."""

from common.testing.listings.api import NOWHERE, Api, Serve
from common.testing.listings.tested import Make, Tested
from common.testing.metrics import sample, shows


class TestMetrics:
    def test_lines_of_an_import_are_counted_by_outcome(
        self, serve: Serve, sqlite_url: str, tested: Tested, listing: Make
    ) -> None:
        api = serve(sqlite_url)
        same, changed = listing(), listing()
        api.imported([same, changed, listing(), same, changed | {"name": "1"}, listing(name="")])
        page = api.client.get("/metrics").text
        outcomes = ("created", "updated", "unchanged", "invalid")
        counted = {outcome: sample(page, "import_lines_total", outcome=outcome) for outcome in outcomes}
        assert counted == {"created": 3, "updated": 1, "unchanged": 1, "invalid": 1}
        name = tested.kind.plural
        assert sample(page, "http_requests_total", service=name, operation=f"import_{name}", status="200") == 1

    def test_what_waits_in_the_outbox_is_a_gauge(self, serve: Serve, database_url: str, listing: Make) -> None:
        api = serve(database_url)
        page = api.client.get("/metrics").text
        assert (sample(page, "outbox_pending"), sample(page, "outbox_oldest_seconds")) == (0, 0)
        for _ in range(3):
            api.create(listing())
        before, after = api.client.get("/metrics").text, api.client.get("/metrics").text
        assert sample(before, "outbox_pending") == 3
        assert 0 < sample(before, "outbox_oldest_seconds") < sample(after, "outbox_oldest_seconds")

    def test_without_a_database_the_other_numbers_come(self, serve: Serve) -> None:
        api = serve(NOWHERE, migrate=False)
        assert api.client.get(api.path).status_code == 503
        page = api.client.get("/metrics").text
        assert not shows(page, "outbox_pending")
        assert sample(page, "http_requests_total", operation="index", status="503") == 1

    def test_the_sum_of_versions_grows_with_every_change(self, own: Api, listing: Make) -> None:
        def summary() -> dict[str, int]:
            answer: dict[str, int] = own.client.get(f"{own.path}/summary").json()
            return answer

        assert summary() == {"living": 0, "tombstones": 0, "versions": 0}
        one, other = own.create(listing()), own.create(listing(is_visible=False))
        assert summary() == {"living": 2, "tombstones": 0, "versions": 2}
        own.patched(other, name="1")
        own.client.delete(own.at(one))
        assert summary() == {"living": 1, "tombstones": 1, "versions": 4}
