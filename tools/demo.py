#!/usr/bin/env python3
"""`make demo`: imports the sample rooms and items into the running stack and shows four searches with their answers."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stack import REPOSITORY, SERVICES, StackError, environment, is_ready, url

_SAMPLES = REPOSITORY / "samples"
_FOUND_WITHIN = 20.0  # seconds
_SEARCHES = (
    ("A typo is forgiven, accents are folded", "rooms", {"q": "studo zurich", "limit": "3"}),
    (
        "Near Alexanderplatz in Berlin, the nearest first",
        "rooms",
        {"near": "52.5219,13.4132", "radius": "5000", "sort": "distance", "limit": "3"},
    ),
    ("Rooms with an upright piano: found by what is in them", "rooms", {"q": "upright piano", "limit": "3"}),
    (
        "Things in Berlin, the lowest price first, with a facet",
        "items",
        {"near": "52.52,13.405", "radius": "20000", "sort": "price", "facets": "category", "limit": "3"},
    ),
)


def main() -> int:
    """0 when the samples are in and the searches were answered; else 1 with one line."""
    try:
        _demo(environment())
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 1
    return 0


def _demo(values: Mapping[str, str]) -> None:
    bases = {service.name: url(service, values) for service in SERVICES}
    for name, base in bases.items():
        if not is_ready(base):
            raise StackError(
                f"the stack is not running: {name} does not answer at {base}; `make run` in another terminal starts it"
            )
    _import("rooms", _SAMPLES / "rooms.ndjson", bases, values)
    with tempfile.TemporaryDirectory() as folder:
        housed = Path(folder) / "items.ndjson"
        housed.write_text("".join(json.dumps(item) + "\n" for item in _housed(bases["rooms"])), encoding="utf-8")
        _import("items", housed, bases, values)
    for kind in ("rooms", "items"):
        hidden = _wait_until_found(kind, bases["search"])
        print(f"all {kind} are found, but for {hidden} that are hidden (is_visible: false)")
    print("\nFour searches to try:")
    for title, kind, parameters in _SEARCHES:
        address = f"{bases['search']}/v1.0/search/{kind}?{urllib.parse.urlencode(parameters, safe=',')}"
        answer = _ask(address)
        print(f"\n{title}:\n  curl {shlex.quote(address)}")
        print(f"  → {answer['total']['value']} found" + "".join(f"\n    · {_describe(hit)}" for hit in answer["hits"]))
        for facet, counts in (answer.get("facets") or {}).items():
            print(f"    {facet}: " + ", ".join(f"{each['value']} {each['count']}" for each in counts[:6]))


def _import(kind: str, file: Path, bases: Mapping[str, str], values: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", kind, "import", "--url", bases[kind], str(file)]
    imported = subprocess.run(command, env=dict(values), check=False)
    if imported.returncode != 0:
        raise StackError(f"the import of {file.name} ended with exit {imported.returncode}")


def _housed(rooms: str) -> Iterator[dict[str, Any]]:
    """The sample items, each with the id that its room has here."""
    homes: dict[str, str] = json.loads((_SAMPLES / "homes.json").read_text(encoding="utf-8"))
    ids = {room["url"]: room["id"] for room in _listed(f"{rooms}/v1.0/rooms?limit=100")}
    for item in _read("items"):
        home = ids.get(homes.get(item["url"], ""))
        yield item if home is None else {**item, "room_id": home}


def _listed(address: str | None) -> Iterator[dict[str, Any]]:
    while address is not None:
        with _opened(address) as answer:
            yield from json.load(answer)
            link = answer.headers.get("Link")
        address = None if link is None else urllib.parse.urljoin(address, link[1 : link.index(">")])


def _read(kind: str) -> list[dict[str, Any]]:
    lines = (_SAMPLES / f"{kind}.ndjson").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def _wait_until_found(kind: str, search: str) -> int:
    """What was just written takes a moment to be found. Answers how many are not meant to be."""
    samples = _read(kind)
    visible = sum(bool(sample.get("is_visible", True)) for sample in samples)
    deadline = time.monotonic() + _FOUND_WITHIN
    while (found := int(_ask(f"{search}/v1.0/search/{kind}?limit=1")["total"]["value"])) < visible:
        if time.monotonic() > deadline:
            raise StackError(
                f"only {found} of {visible} sample {kind} are found after {_FOUND_WITHIN:.0f} s; the services' logs say why"
            )
        time.sleep(0.1)
    return len(samples) - visible


def _ask(address: str) -> Any:
    with _opened(address) as answer:
        return json.load(answer)


def _opened(address: str) -> Any:
    token = os.environ.get("TOKEN")
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        return urllib.request.urlopen(request, timeout=10)  # noqa: S310
    except urllib.error.HTTPError as error:
        raise StackError(f"{address} answered {error.code}: {error.read(500).decode(errors='replace')}") from error
    except (OSError, ValueError) as error:
        raise StackError(f"{address} did not answer: {error}") from error


def _describe(hit: Mapping[str, Any]) -> str:
    distance = f", {hit['distance_m']:.0f} m away" if hit.get("distance_m") is not None else ""
    if "item" in hit:
        item = hit["item"]
        where = f"{item['room']['city']}, " if item["room"] else ""
        return f"{item['name']} ({where}{item['price']} {item['currency']}{distance})"
    room = hit["room"]
    city = (room.get("area") or {}).get("city", "")
    things = f"; in it: {', '.join(item['name'] for item in hit['items'])}" if hit.get("items") else ""
    return f"{room['name']} ({city}, {room['price']} {room['currency']} {room['recurrency']}{distance}{things})"


if __name__ == "__main__":
    sys.exit(main())
