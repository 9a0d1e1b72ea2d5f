"""Many at once want the same rooms: nobody is refused for it, and nothing is lost or doubled."""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

IMPORT = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(params=["sqlite", "postgresql"])
def own(request, serve):
    """An API on a database that no other test writes into."""
    return serve(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]))


def at_once(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [running.result() for running in [pool.submit(job) for job in jobs]]


def test_patches_without_a_condition_all_go_through(own, listing):
    room = own.create(listing())
    path = f"{own.client.base_url}/v1.0/rooms/{room['id']}"

    def patch(number: int) -> list[int]:
        return [httpx.patch(path, json={"price": number * 100 + each}, timeout=60).status_code for each in range(8)]

    answers = [status for statuses in at_once([lambda n=n: patch(n) for n in range(12)]) for status in statuses]
    assert answers == [200] * 96
    assert own.client.get(path).json()["version"] == 97


def test_imports_of_the_same_urls_all_end_and_make_one_room_of_each(own, listing):
    listings = [listing() for _ in range(40)]

    def send(number: int) -> list[str]:
        lines = [json.dumps(each | {"price": number}) for each in random.sample(listings, len(listings))] * 2
        answer = httpx.post(
            f"{own.client.base_url}/v1.0/rooms/import", content="\n".join(lines).encode(), headers=IMPORT, timeout=90
        )
        assert answer.status_code == 200, answer.text
        return [json.loads(line)["outcome"] for line in answer.text.splitlines()]

    outcomes = [outcome for each in at_once([lambda n=n: send(n) for n in range(8)]) for outcome in each]
    assert len(outcomes) == 8 * 80
    assert set(outcomes) <= {"created", "updated", "unchanged"}
    assert outcomes.count("created") == 40
    assert sorted(room["url"] for room in own.client.get("/v1.0/rooms?limit=100").json()) == sorted(
        each["url"] for each in listings
    )


def test_who_waits_for_another_who_waits_for_him_is_not_refused(own, listing):
    urls = [listing()["url"] for _ in range(6)]
    rooms = [own.create(listing(url=url)) for url in urls]

    def move(number: int) -> list[int]:
        dice = random.Random(number)
        statuses = []
        for _ in range(15):
            room, url = dice.choice(rooms), dice.choice(urls)
            path = f"{own.client.base_url}/v1.0/rooms/{room['id']}"
            statuses.append(httpx.patch(path, json={"url": url}, timeout=60).status_code)
            lines = "\n".join(json.dumps(listing(url=url, price=dice.randrange(1000))) for url in dice.sample(urls, 4))
            answer = httpx.post(f"{own.client.base_url}/v1.0/rooms/import", content=lines, headers=IMPORT, timeout=60)
            statuses.append(answer.status_code)
        return statuses

    statuses = [status for each in at_once([lambda n=n: move(n) for n in range(8)]) for status in each]
    assert set(statuses) <= {200, 409}
    found = [room["url"] for room in own.client.get("/v1.0/rooms?limit=100").json()]
    assert len(found) == len(set(found))
