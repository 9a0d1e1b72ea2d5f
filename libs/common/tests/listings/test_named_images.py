"""Images that listings name are noted a page at a time, and all listings are read ever more seldom."""

import threading
from types import SimpleNamespace
from typing import Any

from common.errors import Unavailable
from common.listings import named_images
from common.listings.named_images import AGAIN, BREATH, SELDOM, SOON, NamedImages


class Rows:
    """Seven of which every third is a tombstone; the page behind `away` cannot be read the first time. Also the images noted of them."""

    def __init__(self, away: str) -> None:
        self.asked: list[str | None] = []
        self.wanted: list[str] = []
        self.away = away

    def kept(self, ids: None, after: str | None, limit: int) -> list[Any]:
        self.asked.append(after)
        if after == self.away:
            self.away = ""
            raise Unavailable("the database", "it is night")
        return [self.row(number) for number in range(1, 8) if after is None or str(number) > after][:limit]

    def row(self, number: int) -> Any:
        images = [SimpleNamespace(url=f"{number}.jpg")]
        return SimpleNamespace(
            id=str(number), listing=SimpleNamespace(given=SimpleNamespace(images=images)) if number % 3 else None
        )

    def want(self, urls: Any) -> int:
        self.wanted += (new := [*urls])
        return len(new)


class Ends(threading.Event):
    """Notes how long it is waited for, and is set after so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self.times = times

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == self.times:
            self.set()
        return self.is_set()


def test_it_goes_on_where_it_was_when_the_database_went_away(monkeypatch):
    monkeypatch.setattr(named_images, "PAGE", 2)
    rows, ends = Rows(away="4"), Ends(5)
    NamedImages(rows, rows).run(ends)  # type: ignore[arg-type]
    assert rows.asked == [None, "2", "4", "4", "6"]
    assert rows.wanted == ["1.jpg", "2.jpg", "4.jpg", "5.jpg", "7.jpg"]
    assert ends.waits == [BREATH, BREATH, AGAIN, BREATH, SOON]


def test_all_are_read_at_the_start_and_then_ever_more_seldom():
    rows, ends = Rows(away=""), Ends(10)
    NamedImages(rows, rows).run(ends)  # type: ignore[arg-type]
    assert ends.waits == [min(SOON * 2**times, SELDOM) for times in range(10)]
    assert rows.asked == [None] * 10
    assert ends.waits[-1] == SELDOM
