"""Pictures are developed in a process of their own: what breaks it, breaks no more than that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.images.darkroom import Darkroom
from common.images.picture import develop
from common.images.reasons import NotAvailable
from common.testing.image_server import jpeg, pixel_bomb, scan_bomb

#: An AVIF of 1,904 bytes that says it has 100 * 100 pixels. What it holds has 10,000 * 10,000, for which the decoder takes 300 MB.
LIAR = Path(__file__).with_name("larger_than_it_says.avif").read_bytes()


@pytest.fixture
def darkroom() -> Iterator[Darkroom]:
    room = Darkroom()
    yield room
    room.close()


def test_it_makes_what_would_be_made_here(darkroom: Darkroom) -> None:
    for data in (jpeg(), jpeg(4000, 1000), jpeg(1, 1)):
        assert darkroom(data) == develop(data)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "not-an-image"), (b"<html>", "not-an-image"), (pixel_bomb(), "too-many-pixels")]
)
def test_what_is_no_picture_has_its_reason_and_its_note(darkroom: Darkroom, data: bytes, reason: str) -> None:
    with pytest.raises(NotAvailable) as here:
        develop(data)
    with pytest.raises(NotAvailable) as there:
        darkroom(data)
    assert (there.value.reason, there.value.note) == (here.value.reason, here.value.note) == (reason, here.value.note)
    assert darkroom(jpeg()).width == 640


def test_a_picture_that_is_larger_than_it_says_gets_no_more_memory_than_there_is_for_one() -> None:
    room = Darkroom(most=300 * 1024**2)
    try:
        with pytest.raises(NotAvailable):
            room(LIAR)
        assert room(jpeg()).width == 640
    finally:
        room.close()


def test_a_picture_that_takes_too_long_ends_with_the_process_which_comes_anew() -> None:
    room = Darkroom(longest=0.3)
    try:
        with pytest.raises(NotAvailable, match="too-costly"):
            room(scan_bomb(80, side=7000))
        room._longest = 60
        assert room(jpeg()).width == 640
    finally:
        room.close()


def test_a_process_that_died_is_replaced(darkroom: Darkroom) -> None:
    for _ in range(2):
        assert darkroom(jpeg()).width == 640
        process = darkroom._process
        assert process is not None
        process.kill()
        process.wait()
    darkroom.close()
    darkroom.close()
    assert darkroom(jpeg()).width == 640


def test_it_knows_no_secret_of_ours(darkroom: Darkroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:secret@b/c")
    darkroom(jpeg())
    assert darkroom._process is not None
    environment = Path(f"/proc/{darkroom._process.pid}/environ")
    if not environment.exists():
        pytest.skip("this system does not show the environment of a process")
    assert {each.partition(b"=")[0] for each in environment.read_bytes().split(b"\0") if each} <= {b"PYTHONPATH", b"LC_CTYPE"}
