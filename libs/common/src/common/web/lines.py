"""Bytes that arrive in pieces → numbered lines, in constant memory."""

from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class TooLong:
    """Stands for a line of more than `limit` bytes, whose content was let go."""

    limit: int


Line = tuple[int, bytes | TooLong]


class LineSplitter:
    """Feeds on chunks of any size and gives out whole lines, numbered from 1, without their ends (LF or CR LF).

    Lines of white space only are counted, but not given out; a byte order mark at the very beginning is dropped.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial = bytearray()
        self._skipping = False
        self.number = 0  # of the last line that was begun and ended

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that end within this chunk."""
        lines: list[Line] = []
        pieces = chunk.split(b"\n")
        for piece in pieces[:-1]:
            self._extend(piece)
            self._end(lines)
        self._extend(pieces[-1])
        return lines

    def finish(self) -> list[Line]:
        """The last line, when it has no end."""
        lines: list[Line] = []
        if self._partial or self._skipping:
            self._end(lines)
        return lines

    def _extend(self, piece: bytes) -> None:
        if self._skipping or len(self._partial) + len(piece) > self._limit + 1:  # one more, for the CR
            self._skipping = True
            self._partial.clear()
        else:
            self._partial += piece

    def _end(self, lines: list[Line]) -> None:
        self.number += 1
        line = bytes(self._partial)
        if self.number == 1 and line.startswith(BOM):
            line = line[len(BOM) :]
        if line.endswith(b"\r"):
            line = line[:-1]
        if self._skipping or len(line) > self._limit:
            lines.append((self.number, TooLong(self._limit)))
        elif not line.isspace() and line:
            lines.append((self.number, line))
        self._partial.clear()
        self._skipping = False
