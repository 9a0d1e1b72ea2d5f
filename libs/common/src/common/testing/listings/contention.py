"""Many at once want the same listings: nobody is refused for it, and nothing is lost or doubled."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import orjson

from common.testing.listings.api import NDJSON, Api, lines
from common.testing.listings.tested import Make


def at_once(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [running.result() for running in [pool.submit(job) for job in jobs]]


class TestContention:
    def test_patches_without_a_condition_all_go_through(self, own: Api, listing: Make) -> None:
        path = f"{own.url}/{own.create(listing())['id']}"

        def patch(number: int) -> list[int]:
            bodies = [{"name": f"{number} {each}"} for each in range(8)]
            return [httpx.patch(path, json=body, timeout=60).status_code for body in bodies]

        answers = [status for statuses in at_once([partial(patch, n) for n in range(12)]) for status in statuses]
        assert answers == [200] * 96
        assert own.client.get(path).json()["version"] == 97

    def test_imports_of_the_same_urls_all_end_and_make_one_listing_of_each(self, own: Api, listing: Make) -> None:
        listings = [listing() for _ in range(40)]

        def send(number: int) -> list[str]:
            body = lines([each | {"name": str(number)} for each in random.sample(listings, len(listings))] * 2)
            answer = httpx.post(f"{own.url}/import", content=body, headers=NDJSON, timeout=90)
            assert answer.status_code == 200, answer.text
            return [orjson.loads(line)["outcome"] for line in answer.text.splitlines()]

        outcomes = [outcome for each in at_once([partial(send, n) for n in range(8)]) for outcome in each]
        assert len(outcomes) == 8 * 80
        assert set(outcomes) <= {"created", "updated", "unchanged"}
        assert outcomes.count("created") == 40
        assert sorted(each["url"] for each in own.listed()) == sorted(each["url"] for each in listings)

    def test_who_waits_for_another_who_waits_for_him_is_not_refused(self, own: Api, listing: Make) -> None:
        urls = [listing()["url"] for _ in range(6)]
        made = [own.create(listing(url=url)) for url in urls]

        def move(number: int) -> list[int]:
            dice = random.Random(number)
            statuses = []
            for _ in range(15):
                path, url = f"{own.url}/{dice.choice(made)['id']}", dice.choice(urls)
                statuses.append(httpx.patch(path, json={"url": url}, timeout=60).status_code)
                body = lines([listing(url=url, name=str(dice.randrange(1000))) for url in dice.sample(urls, 4)])
                answer = httpx.post(f"{own.url}/import", content=body, headers=NDJSON, timeout=60)
                statuses.append(answer.status_code)
            return statuses

        statuses = [status for each in at_once([partial(move, n) for n in range(8)]) for status in each]
        assert set(statuses) <= {200, 409}
        found = [each["url"] for each in own.listed()]
        assert len(found) == len(set(found))
