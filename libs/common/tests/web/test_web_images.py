"""`GET /images/{name}`: the copy, or what there is to say of one that is not there."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import httpx
import pytest
from sqlalchemy import MetaData, insert, update

from common.db.engine import open_engine
from common.errors import Unavailable
from common.images.connect import open_store
from common.images.names import image_key
from common.images.serving import PATH, images_page
from common.images.store import Store
from common.images.table import Images, images_table, wanted
from common.testing.image_server import jpeg
from common.testing.servers import ImageBackends
from common.web.serve import running

METADATA = MetaData()
TABLE = images_table(METADATA)
URL = "https://example.org/a.jpg"
KEY = image_key(URL)
PICTURE = jpeg()


class Shelf(Store):
    """The store, unless it is away."""

    def __init__(self, store: Store) -> None:
        self.store, self.away = store, False

    def put(self, name: str, data: bytes) -> None:
        self.store.put(name, data)

    def get(self, name: str) -> bytes | None:
        if self.away:
            raise Unavailable("the image store", "s3.internal:9000 refused", 7)
        return self.store.get(name)

    def ping(self) -> None:
        self.store.ping()


@dataclass
class Served:
    client: httpx.Client
    images: Images
    store: Shelf

    def get(self, name: str, method: str = "GET", **headers: str) -> httpx.Response:
        return self.client.request(method, f"/images/{name}", headers={name.replace("_", "-"): headers[name] for name in headers})


@pytest.fixture
def served(toys: ModuleType, image_backends: ImageBackends) -> Iterator[Served]:
    engine = open_engine(image_backends.database_url)
    METADATA.create_all(engine)
    with engine.connect() as connection:
        connection.execute(insert(TABLE), wanted([URL]))
    store = Shelf(open_store(image_backends.store_url, image_backends.access_key, image_backends.secret_key))
    images = Images(engine, TABLE)
    with (
        running(toys.toy_app(pages={PATH: lambda _: images_page(images, store)})) as server,
        httpx.Client(base_url=server.url, timeout=10) as client,
    ):
        yield Served(client, images, store)
    engine.dispose()


@pytest.fixture
def stored(served: Served) -> Served:
    taken = served.images.take()
    assert taken is not None
    served.store.put(f"{KEY}.jpg", PICTURE)
    served.store.put(f"{KEY}.thumb.jpg", b"small")
    assert served.images.stored(taken, 640, 480, len(PICTURE))
    return served


def test_a_stored_one_comes_with_what_caches_and_browsers_need(stored: Served) -> None:
    answer = stored.get(f"{KEY}.jpg")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert stored.get(f"{KEY}.thumb.jpg").content == b"small"


def test_head_says_the_same_without_the_bytes(stored: Served) -> None:
    whole, head = stored.get(f"{KEY}.jpg"), stored.get(f"{KEY}.jpg", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-length", "content-type", "etag", "cache-control")
    assert [head.headers[name] for name in same] == [whole.headers[name] for name in same]


def test_who_has_it_already_is_told_so(stored: Served) -> None:
    etag = stored.get(f"{KEY}.jpg").headers["etag"]
    answer = stored.get(f"{KEY}.jpg", If_None_Match=f'"other", {etag}')
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert stored.get(f"{KEY}.jpg", If_None_Match='"other"').status_code == 200


def test_a_pending_one_is_to_be_asked_for_again(served: Served) -> None:
    answer = served.get(f"{KEY}.thumb.jpg")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "no-store"


def test_one_that_failed_is_gone_and_says_why(served: Served) -> None:
    taken = served.images.take()
    assert taken is not None
    assert served.images.failed(taken, "too-large", "It has too many bytes.")
    answer = served.get(f"{KEY}.jpg")
    problem = answer.json()
    assert (answer.status_code, problem["type"], problem["status"]) == (410, "/problems/gone", 410)
    assert (problem["reason"], problem["detail"]) == ("too-large", "It has too many bytes.")
    assert "retry-after" not in answer.headers
    assert served.client.get("/problems/gone").status_code == 200


@pytest.mark.parametrize("name", [f"{'0' * 64}.jpg", "a.jpg", f"{KEY}", f"{KEY}.png", "..%2f..%2fetc%2fpasswd", f"{KEY}.jpg%00"])
def test_a_name_of_none_is_not_found(served: Served, name: str) -> None:
    answer = served.get(name)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "retry-after" not in answer.headers


def test_while_the_store_is_away_it_is_unavailable(stored: Served) -> None:
    stored.store.away = True
    answer = stored.get(f"{KEY}.jpg")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert "internal" not in answer.text


def test_one_that_the_store_lost_is_no_404(stored: Served) -> None:
    with stored.images._engine.connect() as connection:
        connection.execute(update(TABLE).values(key="1" * 64))
    assert stored.get(f"{'1' * 64}.jpg").status_code == 503


def test_nothing_but_get_and_head(served: Served) -> None:
    answer = served.get(f"{KEY}.jpg", "DELETE")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
