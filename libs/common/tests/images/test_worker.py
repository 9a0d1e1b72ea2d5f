"""The table of what may happen to an image: each bad one has its recorded failure, and a good one beside it is stored."""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from common.db.doorbell import doorbell
from common.db.engine import transaction
from common.errors import Unavailable
from common.failpoints import arm
from common.images import table
from common.images.addresses import Allowed
from common.images.darkroom import Darkroom
from common.images.fetch import Fetcher, Limits
from common.images.hosts import Hosts
from common.images.names import image_key, picture_name, thumbnail_name
from common.images.store import Store
from common.images.table import FAILED, PENDING, STORED, Images, Taken, images_gauges, images_part, wanted
from common.images.worker import TAKEN, ImageWorker
from common.observability.metrics import FetchedImages, Metrics
from common.testing.image_server import ImageServer
from common.testing.servers import ImageBackends
from common.testing.waiting import eventually, in_background


def want(engine: Engine, images: Images, *urls: str) -> None:
    dialect: Any = postgresql if engine.dialect.name == "postgresql" else sqlite
    with transaction(engine) as connection:
        connection.execute(dialect.insert(images._table).on_conflict_do_nothing(), wanted(urls))


def worker(engine: Engine, images: Images, store: Store, origin: ImageServer, **options: Any) -> ImageWorker:
    fetcher = Fetcher(Allowed([origin.address]), Limits(seconds=2.0), **options.pop("fetch", {}))
    quick = {"delays": (0.01, 0.01), "hosts": Hosts(rest=0.01), "look": 0.1}
    return ImageWorker(images, store, doorbell(engine), fetcher, **(quick | options))


def settled(images: Images, *urls: str) -> list[tuple[str, str]]:
    def look() -> list[tuple[str, str]] | None:
        found = [images.find(image_key(url)) for url in urls]
        if any(each is None or each.state == PENDING for each in found):
            return None
        return [(each.state, each.reason) for each in found if each is not None]

    return eventually(look, 60)


BAD = {
    "/stream.jpg": "too-large",
    "/said-to-be-large.jpg": "too-large",
    "/bomb.png": "too-many-pixels",
    "/scans.jpg": "too-many-scans",
    "/gzip.jpg": "encoded",
    "/html.jpg": "not-an-image",
    "/truncated.jpg": "not-an-image",
    "/silent.jpg": "too-slow",
    "/drip.jpg": "too-slow",
    "/short.jpg": "broken",
    "/headers.jpg": "broken",
    "/no-http.jpg": "broken",
    "/preliminary.jpg": "broken",
    "/loop.jpg": "redirects",
    "/missing.jpg": "refused",
    "/failing.jpg": "server-error",
}


@pytest.mark.parametrize(("path", "reason"), BAD.items())
def test_a_bad_one_fails_with_its_reason_and_the_good_one_beside_it_is_stored(
    engine: Engine, images: Images, store: Store, origin: ImageServer, path: str, reason: str
) -> None:
    bad, good = origin.url(path), origin.url("/good.jpg")
    want(engine, images, bad, good)
    delays = () if reason == "too-slow" else (0.01, 0.01)
    with in_background(worker(engine, images, store, origin, delays=delays).run):
        assert settled(images, bad, good) == [(FAILED, reason), (STORED, "")]
    assert store.get(picture_name(image_key(bad))) is None
    for name in (picture_name, thumbnail_name):
        assert (store.get(name(image_key(good))) or b"").startswith(b"\xff\xd8\xff")


def test_a_hundred_bad_ones_of_a_server_that_never_answers_hold_up_nobody_else(
    engine: Engine, images: Images, store: Store, origin: ImageServer
) -> None:
    silent = [origin.url(f"/silent.jpg?{number}", host="localhost") for number in range(100)]
    good = [origin.url(f"/good-{number}.jpg") for number in range(10)]
    want(engine, images, *silent, *good)
    working = worker(engine, images, store, origin, threads=4)
    working.fetcher = Fetcher(Allowed([f"localhost:{origin.port}", origin.address]), Limits(seconds=60))
    with in_background(working.run):
        assert settled(images, *good) == [(STORED, "")] * 10
        assert images.count() == {PENDING: 100, STORED: 10, FAILED: 0}
    assert origin.asked["/silent.jpg"] <= 2


def test_what_works_the_second_time_is_stored(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    url = origin.url("/failing-once.jpg")
    want(engine, images, url)
    with in_background(worker(engine, images, store, origin).run):
        assert settled(images, url) == [(STORED, "")]
    assert origin.asked["/failing-once.jpg"] == 2


def test_what_is_wanted_twice_is_fetched_once(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    url = origin.url("/good.jpg")
    want(engine, images, url, url)
    with in_background(worker(engine, images, store, origin).run):
        assert settled(images, url) == [(STORED, "")]
        want(engine, images, url, origin.url("/good-2.jpg"))
        settled(images, origin.url("/good-2.jpg"))
    assert origin.asked["/good.jpg"] == 1


def test_what_is_wanted_again_stays_as_it_is_and_only_what_is_new_is_written(
    engine: Engine, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "TOGETHER", 3)
    urls = [f"http://example.org/{number}.jpg" for number in range(10)]
    assert images.want([*urls[:4], *urls[:4]]) == 4
    taken = images.take()
    assert taken is not None and images.failed(taken, "broken", "It is broken.")
    assert images.want(urls) == 6
    assert images.count() == {PENDING: 9, STORED: 0, FAILED: 1}
    with monkeypatch.context() as patch:
        patch.setattr(table, "transaction", None)  # nothing is written
        assert images.want(urls) == images.want([]) == 0


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]:1/"]
)
def test_a_redirect_to_where_nobody_may_go_is_not_followed(
    engine: Engine, images: Images, store: Store, origin: ImageServer, to: str
) -> None:
    bad = origin.redirect(to)
    want(engine, images, bad, origin.url("/good.jpg"))
    with in_background(worker(engine, images, store, origin).run):
        assert settled(images, bad, origin.url("/good.jpg")) == [(FAILED, "forbidden-address"), (STORED, "")]


def test_a_name_that_resolves_anew_gains_nothing(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    """The first answer is looked at and connected to; there is no second question, which the name would answer with our metadata."""
    answers = ["127.0.0.1", "169.254.169.254"]
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [answers[len(asked) - 1]]

    first, then = origin.url("/good.jpg", host="rebinding.test"), origin.url("/good-2.jpg", host="rebinding.test")
    working = worker(engine, images, store, origin, threads=1, fetch={"resolve": resolve})
    want(engine, images, first)
    with in_background(working.run):
        assert settled(images, first) == [(STORED, "")]
        assert asked == ["rebinding.test"]
        want(engine, images, then)
        assert settled(images, then) == [(FAILED, "forbidden-address")]
    assert origin.asked["/good-2.jpg"] == 0


def test_told_to_stop_it_gives_back_what_it_holds(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    url = origin.url("/silent.jpg")
    want(engine, images, url)
    working = worker(engine, images, store, origin)
    working.fetcher = Fetcher(Allowed([origin.address]), Limits(seconds=60))
    with in_background(working.run):
        eventually(lambda: origin.asked["/silent.jpg"])
    taken = images.take()
    assert taken is not None and (taken.attempts, taken.taken) == (0, 1)


def test_two_workers_share_the_work(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    urls = [origin.url(f"/good-{number}.jpg") for number in range(40)]
    want(engine, images, *urls)
    with in_background(worker(engine, images, store, origin).run), in_background(worker(engine, images, store, origin).run):
        assert settled(images, *urls) == [(STORED, "")] * 40
    assert {origin.asked[f"/good-{number}.jpg"] for number in range(40)} == {1}


class Flaky(Store):
    """A store that answers, but takes nothing until it is told to: full, say."""

    def __init__(self, store: Store) -> None:
        self.store, self.back, self.refused = store, threading.Event(), 0

    def put(self, name: str, data: bytes) -> None:
        if not self.back.is_set():
            self.refused += 1
            raise Unavailable("the image store")
        self.store.put(name, data)

    def get(self, name: str) -> bytes | None:
        return self.store.get(name)

    def ping(self) -> None:
        self.store.ping()


def test_while_the_store_is_away_no_image_fails_and_nobody_is_asked_again_and_again(
    engine: Engine, images: Images, store: Store, origin: ImageServer
) -> None:
    url, flaky = origin.url("/good.jpg"), Flaky(store)
    want(engine, images, url)
    with in_background(worker(engine, images, flaky, origin, threads=1).run):
        eventually(lambda: flaky.refused > 5)
        assert origin.asked["/good.jpg"] == 1
        assert images.due(), "it was given back"
        assert images.count() == {PENDING: 1, STORED: 0, FAILED: 0}
        flaky.back.set()
        assert settled(images, url) == [(STORED, "")]
    with engine.connect() as connection:
        assert connection.scalar(select(images._table.c.attempts)) == 0


def test_a_lease_that_went_to_another_counts_for_nothing(engine: Engine, images: Images) -> None:
    want(engine, images, "http://example.org/a.jpg")
    late = images.take()
    assert late is not None and images.take() is None
    with transaction(engine) as connection:
        connection.execute(images._table.update().values(due_at=0))  # its time is over, by whosever clock
    other = images.take()
    assert other is not None
    assert not images.failed(late, "broken", "It is broken.")
    assert images.stored(other, 1, 1, 1)
    assert not images.failed(other, "broken", "It is broken.")
    assert images.count() == {PENDING: 0, STORED: 1, FAILED: 0}


def test_an_image_of_which_its_takers_die_is_given_up(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    url = origin.url("/good.jpg")
    want(engine, images, url)
    with transaction(engine) as connection:
        connection.execute(images._table.update().values(taken=TAKEN))
    with in_background(worker(engine, images, store, origin).run):
        assert settled(images, url) == [(FAILED, "given-up")]


def test_one_that_breaks_the_decoder_is_tried_again_and_holds_up_no_other(
    engine: Engine, images: Images, store: Store, origin: ImageServer
) -> None:
    """It may have been the machine that ended the process which decodes."""
    working = worker(engine, images, store, origin, darkroom=Darkroom(longest=0.0), threads=1)
    url = origin.url("/good.jpg")
    want(engine, images, url)
    with in_background(working.run):
        assert settled(images, url) == [(FAILED, "too-costly")]
        assert origin.asked["/good.jpg"] == 3
        working.darkroom = Darkroom()
        want(engine, images, origin.url("/good-2.jpg"))
        assert settled(images, origin.url("/good-2.jpg")) == [(STORED, "")]


@pytest.mark.parametrize("name", ["images.taken", "images.fetched", "images.kept", "images.settled"])
def test_a_failure_at_any_step_is_made_up_for(
    engine: Engine, images: Images, store: Store, origin: ImageServer, name: str
) -> None:
    url = origin.url("/good.jpg")
    want(engine, images, url)
    arm(f"{name}=error@1")
    try:
        with in_background(worker(engine, images, store, origin).run):
            assert settled(images, url) == [(STORED, "")]
    finally:
        arm("")


DIES = """
import sys, threading
from sqlalchemy import MetaData
from common.db.doorbell import doorbell
from common.db.engine import open_engine
from common.failpoints import arm
from common.images.addresses import Allowed
from common.images.connect import open_store
from common.images.fetch import Fetcher
from common.images.table import Images, images_table
from common.images.worker import ImageWorker
database, store, access, secret, allowed, point = sys.argv[1:]
engine = open_engine(database)
arm(f"{point}=kill")
images = Images(engine, images_table(MetaData()))
ImageWorker(images, open_store(store, access, secret), doorbell(engine), Fetcher(Allowed([allowed]))).run(threading.Event())
"""


@pytest.mark.parametrize("name", ["images.taken", "images.fetched", "images.kept", "images.settled"])
def test_what_a_killed_worker_held_is_done_by_the_next(
    engine: Engine, images: Images, store: Store, origin: ImageServer, image_backends: ImageBackends, name: str
) -> None:
    url = origin.url("/good.jpg")
    want(engine, images, url)
    where = (image_backends.database_url, image_backends.store_url, image_backends.access_key, image_backends.secret_key)
    command = [sys.executable, "-c", DIES, *where, origin.address, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with in_background(worker(engine, images, store, origin).run):
        if name != "images.settled":
            assert images.take() is None  # until the lease is over
            with transaction(engine) as connection:
                connection.execute(images._table.update().values(due_at=0))
        assert settled(images, url) == [(STORED, "")]
    assert store.get(picture_name(image_key(url))) is not None


class Away(Images):
    """A database that is away for a while, whenever something is to be recorded."""

    refused = 0

    def stored(self, taken: Taken, width: int, height: int, size: int) -> bool:
        if self.refused < 3:
            self.refused += 1
            raise Unavailable("the database")
        return super().stored(taken, width, height, size)


def test_while_the_database_is_away_what_is_done_waits(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    url, away = origin.url("/good.jpg"), Away(engine, images._table)
    want(engine, images, url)
    with in_background(worker(engine, away, store, origin).run):
        assert settled(images, url) == [(STORED, "")]
    assert (away.refused, origin.asked["/good.jpg"]) == (3, 1)


def test_status_and_metrics_count_them(engine: Engine, images: Images, store: Store, origin: ImageServer) -> None:
    part = images_part(images)
    assert (part.columns, part.read()) == (("pending", "stored", "failed"), (0, 0, 0))
    urls = [origin.url(path) for path in ("/good.jpg", "/good-2.jpg", "/html.jpg")]
    want(engine, images, *urls)
    assert [reading.value for reading in images_gauges(images)] == [3]
    metrics = Metrics("toys")
    with in_background(worker(engine, images, store, origin, metrics=FetchedImages(metrics)).run):
        settled(images, *urls)
    assert part.read() == (0, 2, 1)
    page = metrics.exposed().decode()
    assert 'atrium_images_total{outcome="stored",service="toys"} 2.0' in page
    assert 'atrium_images_total{outcome="failed",service="toys"} 1.0' in page
