"""What only Tantivy does: one writer, readers in other processes, and surviving its process's end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
import tantivy
from tantivy import SchemaBuilder

from common.errors import NotFound, Unavailable, WrongSetting
from common.testing.waiting import eventually
from search.adapters.tantivy_live import TantivyIndex
from search.domain import Applied, Document, Query
from search.kinds import ROOMS
from search.ports import Index

Make = Callable[..., Document]
OpenIndex = Callable[[str], Index]

_WRITER = """
import sys, orjson
from search.adapters.tantivy_live import TantivyIndex
from search.domain import Document
from search.kinds import ROOMS
index = TantivyIndex(sys.argv[1], ROOMS)
index.ensure(writing=True)
index.apply([Document(**orjson.loads(sys.stdin.buffer.readline()))])
print("applied", flush=True)
sys.stdin.buffer.readline()
"""

_KILLED_BEFORE_IT_COULD_MERGE = """
import os, sys, orjson
from search.adapters.tantivy_live import TantivyIndex
from search.domain import Document
from search.kinds import ROOMS
index = TantivyIndex(sys.argv[1], ROOMS)
for line in sys.stdin.buffer:
    index.apply([Document(**each) for each in orjson.loads(line)])
os._exit(9)
"""


def _folder(url: str) -> Path:
    return Path(url.removeprefix("tantivy:///")) / "rooms-g1"


def test_a_change_is_not_lost_on_segments_that_are_merged_meanwhile(
    tantivy_url: str, open_index: OpenIndex, document: Make
) -> None:
    one, other = document(), document()
    # Eight segments are merged when the next comes. The last commit deletes from the first of them, which is not the largest.
    batches = [[one, other, document()], [document() for _ in range(5)], *([document()] for _ in range(5)), [_next(other)]]
    command = [sys.executable, "-c", _KILLED_BEFORE_IT_COULD_MERGE, tantivy_url]
    lines = b"\n".join(orjson.dumps(batch) for batch in batches)
    assert subprocess.run(command, input=lines, timeout=60, check=False).returncode == 9
    index = open_index(tantivy_url)
    index.apply([_next(one)])
    segments = _folder(tantivy_url) / "meta.json"
    eventually(lambda: len(orjson.loads(segments.read_bytes())["segments"]) < 8)
    found = index.search(Query(limit=100)).hits
    assert sorted(hit.id for hit in found) == sorted({each.id for batch in batches for each in batch})
    assert {hit.version for hit in found if hit.id in (one.id, other.id)} == {2}


def _next(document: Document) -> Document:
    return replace(document, version=2, listing={**(document.listing or {}), "version": 2})


def test_rooms_lie_and_are_stored_as_the_release_before_left_them(
    tantivy_url: str, open_index: OpenIndex, document: Make
) -> None:
    room = document()
    open_index(tantivy_url).apply([room])
    folder = _folder(tantivy_url)
    opened = tantivy.Index.open(str(folder))
    opened.reload()
    searcher = opened.searcher()
    (found,) = searcher.search(tantivy.Query.all_query(), limit=2).hits
    stored = orjson.loads(bytes(searcher.doc(found[1])["source"][0]))
    assert stored["room"] == room.listing
    assert folder.parent == Path(tantivy_url.removeprefix("tantivy:///"))


def test_a_second_writer_is_told_so_in_one_line(tantivy_url: str, open_index: OpenIndex, document: Make) -> None:
    first, second = open_index(tantivy_url), open_index(tantivy_url)
    first.ensure(writing=True)
    with pytest.raises(WrongSetting) as caught:
        second.ensure(writing=True)
    assert str(caught.value).startswith("INDEX_URL: another process writes to it")
    assert "\n" not in str(caught.value)
    with pytest.raises(Unavailable):
        second.apply([document()])
    first.close()
    second.ensure(writing=True)
    assert second.apply([document()]) == [Applied()]


def test_a_reader_sees_what_another_process_writes_and_it_outlives_that_process(
    tantivy_url: str, open_index: OpenIndex, document: Make
) -> None:
    reader = open_index(tantivy_url)
    reader.ensure(writing=False)
    assert reader.search(Query()).total == 0
    room = document()
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, tantivy_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(orjson.dumps(room) + b"\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == b"applied\n"
        assert reader.search(Query()).total == 1
        writer.send_signal(signal.SIGKILL)
    heir = open_index(tantivy_url)
    heir.ensure(writing=True)  # the lock went with its process
    assert heir.get(room.id) == room


def test_what_was_applied_is_there_after_opening_anew(tantivy_url: str, document: Make) -> None:
    room, gone = document(), document()
    first = TantivyIndex(tantivy_url, ROOMS)
    first.ensure(writing=True)
    first.apply([room, Document(id=gone.id, version=2, listing=None)])
    first.close()
    second = TantivyIndex(tantivy_url, ROOMS)
    second.apply([gone, Document(id=room.id, version=1, listing=None)])
    assert second.get(room.id) == room
    with pytest.raises(NotFound):
        second.get(gone.id)
    second.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"segments": []}'])
def test_a_broken_folder_is_a_wrong_setting_that_names_it(tantivy_url: str, open_index: OpenIndex, content: bytes) -> None:
    folder = _folder(tantivy_url)
    folder.mkdir(parents=True)
    (folder / "meta.json").write_bytes(content)
    with pytest.raises(WrongSetting, match="cannot be opened") as caught:
        open_index(tantivy_url).ensure(writing=True)
    assert str(folder) in str(caught.value)
    # Rooms that did not change are not published again: importing alone would not bring them back.
    assert "backup" in str(caught.value)
    assert "make reset" in str(caught.value)


def test_a_folder_with_the_fields_of_another_release_says_how_to_make_the_next_index(
    tantivy_url: str, open_index: OpenIndex
) -> None:
    folder = _folder(tantivy_url)
    folder.mkdir(parents=True)
    fewer = SchemaBuilder()
    fewer.add_text_field("id", tokenizer_name="raw", index_option="basic")
    tantivy.Index(fewer.build(), str(folder))
    with pytest.raises(WrongSetting, match="made by another release") as caught:
        open_index(tantivy_url).ensure(writing=True)
    assert str(folder) in str(caught.value)
    assert "`search rebuild rooms`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)


_OTHER_USER = """
import os, sys
from search.adapters.tantivy_live import TantivyIndex
from common.errors import WrongSetting
from search.kinds import ROOMS
if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not bind root
try:
    TantivyIndex(sys.argv[1], ROOMS).ensure(writing=True)
except WrongSetting as error:
    print(error)
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_folder_of_another_user_is_not_called_broken(reachable: Path, mode: int) -> None:
    tantivy_url = f"tantivy:///{reachable}/index"
    first = TantivyIndex(tantivy_url, ROOMS)
    first.ensure(writing=True)
    first.close()
    folder = _folder(tantivy_url)
    try:
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(mode)
        told = subprocess.run([sys.executable, "-c", _OTHER_USER, tantivy_url], capture_output=True, text=True, timeout=60)
    finally:
        folder.chmod(0o755)
    assert told.stdout.startswith("INDEX_URL: "), told.stderr
    assert "by this user" in told.stdout
    assert str(folder) in told.stdout
    assert "reset" not in told.stdout


def test_lost_segment_files_are_a_wrong_setting_too(tantivy_url: str, open_index: OpenIndex, document: Make) -> None:
    first = TantivyIndex(tantivy_url, ROOMS)
    first.ensure(writing=True)
    first.apply([document()])
    first.close()
    for file in _folder(tantivy_url).glob("*.store"):
        file.unlink()
    with pytest.raises(WrongSetting, match="cannot be opened"):
        open_index(tantivy_url).ensure(writing=True)


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path, open_index: OpenIndex) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongSetting, match="cannot be opened"):
        open_index(f"tantivy:///{tmp_path}/file/index").ensure(writing=False)
