"""The settings of a service of listings: its own name before the shared one, both before what follows from others."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from common.config import load, setting
from common.errors import WrongSetting
from common.listings.config import ListingsConfig


@dataclass(frozen=True, kw_only=True)
class Boats(ListingsConfig):
    SERVICE: ClassVar = "BOATS"

    port: int = setting("{SERVICE}_PORT", default=8010, minimum=1, maximum=65535)


@dataclass(frozen=True, kw_only=True)
class Portless(ListingsConfig):
    SERVICE: ClassVar = "BOATS"


def test_defaults_follow_from_the_services_name():
    config = load(Boats, {})
    assert (config.port, config.database_url) == (8010, "sqlite:///.data/boats.db")
    assert config.broker_url == "sqlite:///.data/broker.db", "which all services share"
    assert config.images_url == "http://127.0.0.1:8010/images"
    config = load(Boats, {"DATA_DIR": "/d", "BOATS_PORT": "9"})
    assert (config.data_dir, config.database_url, config.images_url) == (
        Path("/d"),
        "sqlite:////d/boats.db",
        "http://127.0.0.1:9/images",
    )


def test_a_services_own_name_goes_before_the_shared_one():
    shared = {"DATABASE_URL": "sqlite:////shared.db", "LOG_LEVEL": "ERROR", "WORKERS": "2"}
    own = {"BOATS_DATABASE_URL": "sqlite:////own.db", "BOATS_WORKERS": "3", "ROOMS_WORKERS": "4"}
    config = load(Boats, shared | own)
    assert (config.database_url, config.log_level, config.workers) == ("sqlite:////own.db", "ERROR", 3)
    assert load(Boats, {"PORT": "7", "HOST": "0.0.0.0"}).port == 8010, "two services cannot share these"


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"BOATS_PORT": "0"}, "BOATS_PORT"),
        ({"BOATS_DATABASE_URL": "mysql://a"}, "BOATS_DATABASE_URL"),
        ({"DATABASE_URL": "mysql://a"}, "DATABASE_URL"),
        ({"IMAGES_URL": "ftp://a"}, "IMAGES_URL"),
        ({"BOATS_OUTBOX_MAX": "many"}, "BOATS_OUTBOX_MAX"),
        ({"SUBSCRIBERS": "search,boots"}, "SUBSCRIBERS"),
    ],
)
def test_a_wrong_value_names_the_variable_that_was_set(environ, name):
    with pytest.raises(WrongSetting) as wrong:
        load(Boats, environ)
    assert wrong.value.name == name


def test_a_service_must_say_where_it_listens():
    with pytest.raises(WrongSetting) as wrong:
        load(Portless, {})
    assert (wrong.value.name, wrong.value.reason) == ("BOATS_PORT", "must be set")
