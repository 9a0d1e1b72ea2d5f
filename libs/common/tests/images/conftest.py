"""A table, a store and the server of images, on every backend."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, MetaData

from common.db.engine import open_engine
from common.images.connect import open_store
from common.images.store import Store
from common.images.table import Images, images_table
from common.testing.image_server import ImageServer, image_server

METADATA = MetaData()
TABLE = images_table(METADATA)


@pytest.fixture
def engine(images_backends: tuple[str, str]) -> Iterator[Engine]:
    engine = open_engine(images_backends[0])
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def images(engine: Engine) -> Images:
    return Images(engine, TABLE)


@pytest.fixture
def store(images_backends: tuple[str, str]) -> Store:
    return open_store(images_backends[1], "access", "secret")


@pytest.fixture
def origin() -> Iterator[ImageServer]:
    with image_server() as server:
        yield server
