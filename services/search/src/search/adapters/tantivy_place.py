"""Where the generations of a kind lie: a folder with one for each, a file that names the live one, and the locks of who writes."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from common.errors import Unavailable, WrongSetting
from common.file_lock import FileLock
from search.kinds import ROOMS, Kind

NEIGHBOUR = "the index"


@dataclass(frozen=True, slots=True)
class Place:
    kind: Kind
    folder: Path

    @classmethod
    def of(cls, url: str, kind: Kind) -> Self:
        """What `tantivy:///relative/folder` or `tantivy:////absolute/folder` names.

        Rooms were there first, and lie in the folder itself; each other kind has a folder of its own in it.
        """
        folder = Path(url.partition(":///")[2])
        return cls(kind, folder if kind is ROOMS else folder / kind.name)

    def generation(self, number: int) -> Path:
        return self.folder / self.kind.generation(number)

    def generations(self) -> Iterator[int]:
        """The numbers of those that are there."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_dir() and (number := self._number(path.name)) is not None:
                yield number

    def live(self) -> int | None:
        """The number of the live generation; None where nothing was ever swapped, and the first is live or still to be made."""
        try:
            text = (self.folder / "live").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unavailable(NEIGHBOUR, str(error)) from error
        number = self._number(text.strip())
        if number is None:
            word = self.kind.generation(1)
            raise WrongSetting("INDEX_URL", f"{self.folder / 'live'} names no generation: it must hold a word like {word}")
        return number

    def set_live(self, number: int) -> None:
        """In one step, durable. Raises OSError."""
        new = self.folder / "live.next"
        with new.open("w") as file:
            file.write(f"{self.kind.generation(number)}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / "live")
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def office(self) -> FileLock:
        """Whose it is is the process that writes."""
        return FileLock(self.folder / "indexer.lock")

    def writing(self) -> FileLock:
        """Whose it is may write to the live generation, and make another one live."""
        return FileLock(self.folder / "writing.lock")

    def _number(self, name: str) -> int | None:
        match = re.fullmatch(rf"{self.kind}-g([1-9][0-9]*)", name)
        return int(match[1]) if match else None
