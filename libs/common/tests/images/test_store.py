"""The contract of image stores, in a directory and in S3."""

import threading
from pathlib import Path

import pytest

from common.errors import Unavailable, WrongSetting
from common.images import directory
from common.images.connect import open_store
from common.images.store import Store
from common.testing.servers import ImageBackends

KEY = "ab" * 32


def test_what_was_put_is_got_back(store: Store) -> None:
    store.ping()
    assert store.get(f"{KEY}.jpg") is None
    store.put(f"{KEY}.jpg", b"one")
    store.put(f"{KEY}.thumb.jpg", b"two")
    assert (store.get(f"{KEY}.jpg"), store.get(f"{KEY}.thumb.jpg")) == (b"one", b"two")


def test_another_sees_it_and_replacing_is_no_error(store: Store, image_backends: ImageBackends) -> None:
    store.put(f"{KEY}.jpg", b"one")
    another = open_store(image_backends.store_url, image_backends.access_key, image_backends.secret_key)
    another.put(f"{KEY}.jpg", b"two")
    assert store.get(f"{KEY}.jpg") == b"two"


def test_whoever_reads_while_others_write_sees_one_of_them_whole(store: Store) -> None:
    versions = [bytes([number]) * 100_000 for number in range(4)]
    store.put(f"{KEY}.jpg", versions[0])
    writers = [threading.Thread(target=store.put, args=(f"{KEY}.jpg", version)) for version in versions]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert store.get(f"{KEY}.jpg") in versions
    for writer in writers:
        writer.join()


def test_a_directory_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = open_store((tmp_path / "file" / "images").as_uri())
    for use in (store.ping, lambda: store.put(f"{KEY}.jpg", b"")):
        with pytest.raises(Unavailable, match="the image store"):
            use()


def test_a_directory_holds_no_half_written_file(tmp_path: Path) -> None:
    open_store(tmp_path.as_uri()).put(f"{KEY}.jpg", b"one")
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [Path("ab") / f"{KEY}.jpg"]


def test_a_disk_that_is_full_is_unavailable_before_anybody_is_asked_for_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store((tmp_path / "images").as_uri())
    store.ping()
    monkeypatch.setattr(directory, "SPARE", 2**62)  # more than there is
    with pytest.raises(Unavailable, match="no space left"):
        store.ping()


def test_a_bucket_that_is_not_there_is_not_made(s3_store_url: str, s3_server: str) -> None:
    from common.testing.real_servers import s3_keys

    store = open_store(s3_store_url.replace("s3://t-", "s3://none-"), *s3_keys(s3_server))
    for use in (store.ping, lambda: store.put(f"{KEY}.jpg", b""), lambda: store.get(f"{KEY}.jpg")):
        with pytest.raises(Unavailable, match="the image store"):
            use()


def test_an_s3_that_does_not_answer_is_unavailable() -> None:
    store = open_store("s3://bucket?endpoint=http://127.0.0.1:1", "access", "secret")
    for use in (store.ping, lambda: store.put(f"{KEY}.jpg", b""), lambda: store.get(f"{KEY}.jpg")):
        with pytest.raises(Unavailable, match="the image store"):
            use()


@pytest.mark.parametrize("url", ["s3://bucket?endpoint=localhost:9000", "s3://bucket?regoin=eu"])
def test_a_wrong_option_is_named(url: str) -> None:
    with pytest.raises(WrongSetting, match="IMAGES_STORE"):
        open_store(url)
