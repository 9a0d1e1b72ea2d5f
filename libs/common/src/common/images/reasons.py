"""Why an image could not be had: a word that programs may rely on, a sentence for people, and whether asking again may help.

The sentences hold nothing that only we can see: no address that a name resolved to, no text of a server of ours.
"""

from dataclasses import dataclass

from common.errors import AtriumError


@dataclass(frozen=True, slots=True)
class _Reason:
    sentence: str
    passing: bool  # it may be otherwise later


_REASONS = {
    "wrong-url": _Reason("The url is none of http or https that names a host and holds no credentials.", False),
    "forbidden-address": _Reason("The url, or where it redirects to, is not on the public internet.", False),
    "redirects": _Reason("There are too many redirects.", False),
    "refused": _Reason("The server refuses to give it.", False),
    "too-large": _Reason("It has too many bytes.", False),
    "encoded": _Reason("It comes compressed, although that was not asked for.", False),
    "not-an-image": _Reason("It is no whole JPEG, PNG, WebP, GIF or AVIF.", False),
    "too-many-pixels": _Reason("It has too many pixels.", False),
    "too-many-scans": _Reason("It is drawn in too many passes.", False),
    "given-up": _Reason("Whoever took it to fetch it has ended before it was done, again and again.", False),
    "too-costly": _Reason("To decode it takes too long or too much memory, or breaks the decoder.", True),
    "unknown-host": _Reason("The host's name cannot be resolved.", True),
    "unreachable": _Reason("The server does not accept a connection, or not a secure one.", True),
    "too-slow": _Reason("The server does not answer in time.", True),
    "broken": _Reason("What the server sends is no whole answer.", True),
    "server-error": _Reason("The server says that it has trouble.", True),
}


@dataclass(eq=False)
class NotAvailable(AtriumError):
    """An image cannot be had. `note` is for people: a status, a limit."""

    reason: str
    note: str = ""

    @property
    def passing(self) -> bool:
        """May it be otherwise later?"""
        return _REASONS[self.reason].passing

    @property
    def sentence(self) -> str:
        return f"{_REASONS[self.reason].sentence} {self.note}".strip()

    def __str__(self) -> str:
        return f"{self.reason}: {self.sentence}"
