"""Settings from `.env` and from the environment."""

from collections.abc import Callable
from pathlib import Path

import pytest

import stack


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stack, "REPOSITORY", tmp_path)
    for name in ("DATA_DIR", "ROOMS_PORT", "SEARCH_PORT", "ROOMS_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".env"


def test_the_environment_wins_over_the_file(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dotenv.write_text("# ports\n\nROOMS_PORT=9001\nexport SEARCH_PORT='9003'\n")
    monkeypatch.setenv("ROOMS_PORT", "9101")
    values = stack.environment()
    assert (values["ROOMS_PORT"], values["SEARCH_PORT"]) == ("9101", "9003")


def test_a_line_that_is_none_is_named(dotenv: Path) -> None:
    dotenv.write_text("ROOMS_PORT=9001\nROOMS PORT 9001\n")
    with pytest.raises(stack.StackError, match=r"\.env, line 2"):
        stack.environment()


def _directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_directory, "Is a directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.write_bytes(b"ROOMS_HOST=caf\xe9\n"), "byte 15 is not UTF-8"),
        (lambda path: path.write_bytes(b"ROOMS_HOST=\0\n"), "line 1: .*zero byte"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_in_one_line(dotenv: Path, make: Callable[[Path], object], said: str) -> None:
    make(dotenv)
    with pytest.raises(stack.StackError, match=rf"^\.env.*{said}.*$"):
        stack.environment()


def test_the_data_directory_is_in_the_repository_unless_said_otherwise(dotenv: Path, tmp_path: Path) -> None:
    assert stack.environment()["DATA_DIR"] == str(tmp_path / ".data")
    dotenv.write_text(f"DATA_DIR={tmp_path / 'elsewhere'}\n")
    assert stack.environment()["DATA_DIR"] == str(tmp_path / "elsewhere")


def test_the_example_holds_only_what_can_be_read(dotenv: Path) -> None:
    dotenv.write_text((Path(stack.__file__).parent.parent / ".env.example").read_text())
    values = stack.environment()
    assert {service.name for service in stack.SERVICES} >= {"rooms", "items", "search"}
    for service in stack.SERVICES:
        assert stack.url(service, values) == f"http://127.0.0.1:{service.default_port}"


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("localhost", "localhost")]
)
def test_a_wildcard_address_is_reached_over_loopback(host: str, reached: str) -> None:
    assert stack.url(stack.SERVICES[0], {"ROOMS_HOST": host}) == f"http://{reached}:8001"
