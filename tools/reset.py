#!/usr/bin/env python3
"""`make reset`: deletes what the embedded backends and `make run` made in DATA_DIR, by name, and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from stack import ISSUER, REPOSITORY, SERVICES, StackError, data_dir, environment

#: Beside the databases: what SQLite keeps there, and the locks of the broker's clients.
_DATABASES = "|".join(["broker", *(service.name for service in SERVICES if service.migrates)])
_FILE = re.compile(
    rf"({_DATABASES})\.db(-wal|-shm|-journal)?|broker\.db-(holder-[0-9a-f]{{32}}|hold-search\.rebuild)|issuer\.json"
)
_LOG = re.compile(rf"({'|'.join(service.name for service in (ISSUER, *SERVICES))})\.log(\.1)?")
#: One folder of an index for each generation; beside them, which one is live, and locks. Those of items are in a folder of their own.
_GENERATION = re.compile(r"(rooms|items)-g\d+(\.removed)?")
_INDEX = re.compile(r"live|live\.next|indexer\.lock|writing\.lock")
#: Folders of copies of images.
_COPIES = re.compile(r"[0-9a-f]{2}")


def main() -> int:
    """0 when the data is gone, or there was none; 1 with one line when it must not be touched."""
    try:
        _reset(data_dir(environment()).resolve())
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"atrium: {error.filename} cannot be deleted: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _reset(data: Path) -> None:
    if not data.exists():
        print(f"{data} does not exist; nothing to delete")
        return
    lock = data / "run.lock"
    if data in (Path.home(), REPOSITORY, *REPOSITORY.parents) or lock.is_symlink() or not lock.is_file():
        raise StackError(f"DATA_DIR {data} does not look like a folder that `make run` made; delete it by hand if you mean it")
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"DATA_DIR {data} is in use; stop `make run` first") from None
        if using := [path for path in data.glob("broker.db-holder-*") if _is_held(path)]:
            raise StackError(f"DATA_DIR {data} is in use: {len(using)} other command(s), such as `make events`; end them first")
        print(f"deleting in {data}:")
        for path in sorted(_made_by_atrium(data)):
            print(f"  {path.relative_to(data)!s:<24} {_size(path) / 1e6:9.1f} MB")
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        for folder in (data / "index/items", data / "index", data / "logs", data / "images"):
            if folder.is_dir() and not folder.is_symlink():
                _remove_if_empty(folder)
        lock.unlink()
    for left in sorted(data.iterdir()):
        print(f"left alone, as Atrium did not make all of it: {left}")
    _remove_if_empty(data)


def _is_held(path: Path) -> bool:
    """Whether the process that made this lock file still lives."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _made_by_atrium(data: Path) -> Iterator[Path]:
    """Never a link, nor anything that is reached through one: Atrium makes none."""
    for folder, name, is_folder in (
        (data, _FILE, False),
        (data / "logs", _LOG, False),
        (data / "index", _GENERATION, True),
        (data / "index", _INDEX, False),
        (data / "index/items", _GENERATION, True),
        (data / "index/items", _INDEX, False),
        (data / "images", _COPIES, True),
    ):
        if folder.is_dir() and not any(each.is_symlink() for each in (folder, *folder.parents) if data in each.parents):
            for path in folder.iterdir():
                if name.fullmatch(path.name) and not path.is_symlink() and (path.is_dir() if is_folder else path.is_file()):
                    yield path


def _remove_if_empty(folder: Path) -> None:
    if not os.listdir(folder):
        with contextlib.suppress(OSError):  # a mount point, or somebody else's parent: empty is enough
            folder.rmdir()


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    sys.exit(main())
