"""The environment becomes a frozen dataclass, or names the variable that is wrong."""

from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest

from common.config import load, setting, without_password
from common.errors import WrongSetting


@dataclass(frozen=True, kw_only=True)
class Config:
    data_dir: Path = setting("TOY_DATA_DIR", "DATA_DIR", default=Path(".data"))
    port: int = setting("TOY_PORT", default=8001, minimum=1, maximum=65535)
    url: str = setting("URL", schemes=("sqlite", "amqp"), default=lambda so_far: f"sqlite:///{so_far['data_dir']}/toy.db")
    fast: bool = setting("FAST", default=False)
    level: str = setting("LEVEL", default="INFO", choices=("INFO", "DEBUG"))
    origins: tuple[str, ...] = setting("ORIGINS", default=(), origins=True)


def test_defaults_follow_one_another_and_the_services_own_name_wins():
    assert load(Config, {"DATA_DIR": "/d"}).url == "sqlite:////d/toy.db"
    assert load(Config, {"DATA_DIR": "/d", "TOY_DATA_DIR": "/e"}).data_dir == Path("/e")
    assert load(Config, {"PORT": "1", "TOY_PORT": ""}).port == 8001
    config = load(Config, {"FAST": "Yes", "ORIGINS": "https://a.example, https://b.example"})
    assert config.fast is True
    assert config.origins == ("https://a.example", "https://b.example")
    with pytest.raises(FrozenInstanceError):
        config.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOY_PORT", "0"),
        ("TOY_PORT", "70000"),
        ("TOY_PORT", "eight"),
        ("TOY_PORT", "1_0"),
        ("URL", "http://x"),
        ("URL", "amqp://"),
        ("URL", "amqp://host:99999"),
        ("URL", "sqlite://"),
        ("URL", "nonsense"),
        ("FAST", "maybe"),
        ("LEVEL", "LOUD"),
        ("ORIGINS", "nonsense"),
        ("ORIGINS", "null"),
        ("ORIGINS", "https://a.example/page"),
        ("ORIGINS", "https://a.example?x"),
        ("ORIGINS", "https://a.example:99999"),
        ("ORIGINS", "https://user@a.example"),
        ("ORIGINS", "https://*.example"),
        ("ORIGINS", "https://"),
        ("ORIGINS", "https://[a"),
        ("ORIGINS", "https://a.example, a.example"),
    ],
)
def test_a_wrong_value_names_its_variable_in_one_line(name, value):
    with pytest.raises(WrongSetting) as wrong:
        load(Config, {name: value})
    assert str(wrong.value).startswith(f"{name}: must")
    assert "\n" not in str(wrong.value)


def test_a_wrong_url_does_not_show_its_password():
    with pytest.raises(WrongSetting) as wrong:
        load(Config, {"URL": "http://user:secret@host"})
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize("value", ["debug", "Debug", "DEBUG"])
def test_a_word_may_be_written_in_any_case(value):
    assert load(Config, {"LEVEL": value}).level == "DEBUG"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("*", "*"),
        ("HTTPS://A.example/", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(given, sent):
    assert load(Config, {"ORIGINS": given}).origins == (sent,)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:s@cret#@host:5672/vhost?password=secret", "amqp://…"),
        ("amqp://guest:s@cret@host:5672/vhost?password=secret", "amqp://host:5672/vhost"),
        ("postgresql+psycopg://host/rooms?password=s@cret", "postgresql+psycopg://…"),
        ("https://es.example:9200/", "https://es.example:9200/"),
        ("sqlite:////home/me@work/rooms.db", "sqlite:////home/me@work/rooms.db"),
    ],
)
def test_what_is_logged_of_a_url_holds_no_password(url, shown):
    assert without_password(url) == shown
