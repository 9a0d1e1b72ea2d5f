"""Clients that write as crawlers and users do, each in a thread of its own, and note in the ledger what they were answered."""

import json
import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx

from common.testing.image_server import ImageServer
from common.testing.ledger import Ledger, Room, State
from common.testing.system import System

#: Seconds that a client waits for an answer: longer than any process is held up on purpose.
PATIENCE = 15.0
_IMPORTED = 12  # lines of an import


class Writers:
    """So many clients of `service`, from the beginning of the block to its end. A seed makes them choose alike, though not meet alike."""

    def __init__(
        self, system: System, ledger: Ledger, count: int = 3, seed: int = 0, pause: float = 0.02, service: str = "rooms"
    ) -> None:
        self._stop = threading.Event()
        self.failed: list[Exception] = []
        url, pictures = str(system.client(service).base_url), system.pictures
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(_Writer(url, service, pictures, ledger, random.Random(f"{seed}/{service}/{number}"), self._stop), pause),
            )
            for number in range(count)
        ]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
            assert not thread.is_alive(), "a writer waits for ever"
        assert not self.failed, self.failed

    def _run(self, writer: "_Writer", pause: float) -> None:
        try:
            while not self._stop.wait(pause):
                writer.act()
        except Exception as error:  # noqa: BLE001 (of whatever kind: the test fails for it)
            self.failed.append(error)
        finally:
            writer.client.close()


class _Writer:
    """One client with listings of its own."""

    def __init__(
        self,
        url: str,
        service: str,
        pictures: ImageServer | None,
        ledger: Ledger,
        chance: random.Random,
        stop: threading.Event,
    ) -> None:
        self.client = httpx.Client(base_url=url, timeout=PATIENCE)
        self._path, self._make, self._pictures = f"/v1.0/{service}", _MAKERS[service], pictures
        self._ledger, self._chance, self._stop = ledger, chance, stop
        self._living: dict[str, tuple[str, int]] = {}  # id → url, version
        self._again: list[str] = []  # urls to be published: no answer, or deleted
        self._deeds: list[tuple[Callable[[], None], int]] = [
            (self._publish, 6),
            (self._patch, 3),
            (self._replace, 2),
            (self._hide_or_show, 2),
            (self._delete, 2),
            (self._import, 1),
        ]

    def act(self) -> None:
        deeds, weights = zip(*self._deeds, strict=True)
        self._chance.choices(deeds, weights)[0]()

    def _publish(self) -> None:
        url = self._again.pop() if self._again else self._new_url()
        answer = self._sent("POST", self._path, json=self._listing(url))
        if answer is None:
            self._ledger.maybe_published(url)
            self._again.append(url)
        elif answer.status_code == 201:
            self._is_published(answer.json()["id"], url, answer.json())
        elif answer.status_code == 409 and answer.json()["existing_id"]:  # the attempt that got no answer
            self._is_published(answer.json()["existing_id"], url, None)
        else:
            self._ledger.surprise(f"POST: {answer.status_code} {answer.text}")

    def _is_published(self, id: str, url: str, room: Room | None) -> None:
        self._ledger.published(id, url, State(1, room=room))
        self._living[id] = url, 1

    def _patch(self) -> None:
        self._revise("PATCH", lambda _: {"price": self._chance.randint(1, 5000)})

    def _replace(self) -> None:
        self._revise("PUT", lambda url: self._listing(url) | {"name": "Replaced"})

    def _hide_or_show(self) -> None:
        self._revise("PATCH", lambda _: {"is_visible": self._chance.random() < 0.5})

    def _revise(self, method: str, content: Callable[[str], dict[str, Any]]) -> None:
        if not self._living:
            return
        id = self._chance.choice(list(self._living))
        url, version = self._living[id]
        answer = self._sent(method, f"{self._path}/{id}", json=content(url))
        if answer is None:
            self._let_go(id, State(version + 1))
        elif answer.status_code == 200:
            room = answer.json()
            self._ledger.acknowledged(id, State(room["version"], room=room))
            self._living[id] = url, room["version"]
        else:
            self._ledger.surprise(f"{method} of {id}, version {version}: {answer.status_code} {answer.text}")

    def _delete(self) -> None:
        if not self._living:
            return
        id = self._chance.choice(list(self._living))
        url, version = self._living[id]
        answer = self._sent("DELETE", f"{self._path}/{id}")
        if answer is None:
            self._let_go(id, State(version + 1, deleted=True))
        elif answer.status_code == 204:
            self._ledger.acknowledged(id, State(version + 1, deleted=True))
            del self._living[id]
            self._again.append(url)  # which is free again
        else:
            self._ledger.surprise(f"DELETE of {id}, version {version}: {answer.status_code} {answer.text}")

    def _import(self) -> None:
        """New listings, and some of ours: changed, or as they are."""
        lines: list[tuple[str, str | None]] = [(self._new_url(), None) for _ in range(_IMPORTED // 2)]
        known = self._chance.sample(list(self._living), min(len(self._living), _IMPORTED // 2))
        lines += [(self._living[id][0], id) for id in known]
        body = "".join(json.dumps(self._listing(url)) + "\n" for url, _ in lines)
        answer = self._sent("POST", f"{self._path}/import", content=body, headers={"Content-Type": "application/x-ndjson"})
        text = "" if answer is None else answer.text
        outcomes = [json.loads(line) for line in text.splitlines()] if answer is not None and answer.is_success else []
        for number, (url, id) in enumerate(lines):
            outcome = outcomes[number] if number < len(outcomes) else {"outcome": "aborted"}
            if id is None:
                self._is_new(url, outcome)
            else:
                self._is_known(id, outcome)

    def _is_new(self, url: str, outcome: dict[str, Any]) -> None:
        match outcome["outcome"]:
            case "created":
                self._is_published(outcome["id"], url, None)
            case "aborted":
                self._ledger.maybe_published(url)
                self._again.append(url)
            case _:
                self._ledger.surprise(f"import of a new listing: {outcome}")

    def _is_known(self, id: str, outcome: dict[str, Any]) -> None:
        url, version = self._living[id]
        match outcome["outcome"]:
            case "updated" if outcome["id"] == id:
                self._ledger.acknowledged(id, State(version + 1))
                self._living[id] = url, version + 1
            case "unchanged" if outcome["id"] == id:
                pass
            case "aborted":
                self._let_go(id, State(version + 1))
            case _:
                self._ledger.surprise(f"import of {id}, version {version}: {outcome}")

    def _let_go(self, id: str, after: State) -> None:
        self._ledger.undecided(id, after)
        del self._living[id]

    def _sent(self, method: str, path: str, **content: Any) -> httpx.Response | None:
        """The answer, None where it does not say what has happened."""
        try:
            answer = self._knocked(method, path, **content)
        except httpx.TransportError:
            self._ledger.refuse(0)
            return None
        if answer.status_code >= 500:
            self._ledger.refuse(answer.status_code)
            return None
        return answer

    def _knocked(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The answer of a server that is there; while there is none, nothing is sent."""
        while True:
            try:
                return self.client.request(method, path, **content)
            except httpx.ConnectError:
                if self._stop.wait(0.05):
                    raise

    def _new_url(self) -> str:
        return f"https://writer.example/{UUID(int=self._chance.getrandbits(128))}"

    def _listing(self, url: str) -> dict[str, Any]:
        listing = self._make(self._chance, url)
        if self._pictures is not None:
            listing["images"] = [{"url": self._pictures.url(f"/good/{self._chance.randint(1, 200)}.jpg")}]
        return listing


def _room(chance: random.Random, url: str) -> dict[str, Any]:
    return _named(chance, url, "Room") | {"recurrency": "daily", "coordinates": {"lat": 52.5, "lon": 13.4}}


def _item(chance: random.Random, url: str) -> dict[str, Any]:
    return _named(chance, url, "Item") | {"category": "things", "condition": chance.choice(("new", "good", "used"))}


def _named(chance: random.Random, url: str, what: str) -> dict[str, Any]:
    return {
        "name": f"{what} number {chance.randint(1, 9999)}",
        "description": "Written while things went wrong",
        "price": chance.randint(1, 5000),
        "provider": "writer",
        "url": url,
    }


_MAKERS = {"rooms": _room, "items": _item}
