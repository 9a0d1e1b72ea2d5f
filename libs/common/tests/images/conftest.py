"""A table, a store and the server of images, on every backend."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, MetaData

from common.db.engine import open_engine
from common.images.connect import open_store
from common.images.store import Store
from common.images.table import Images, images_table
from common.testing.image_server import ImageServer, image_server
from common.testing.servers import ImageBackends

METADATA = MetaData()
TABLE = images_table(METADATA)


@pytest.fixture
def engine(image_backends: ImageBackends) -> Iterator[Engine]:
    engine = open_engine(image_backends.database_url)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def images(engine: Engine) -> Images:
    return Images(engine, TABLE)


@pytest.fixture
def store(image_backends: ImageBackends) -> Store:
    return open_store(image_backends.store_url, image_backends.access_key, image_backends.secret_key)


@pytest.fixture
def origin() -> Iterator[ImageServer]:
    with image_server() as server:
        yield server
