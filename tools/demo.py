#!/usr/bin/env python3
"""`make demo`: imports the sample listings into the running stack and shows three searches with their answers."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from stack import REPOSITORY, SERVICES, StackError, environment, is_ready, url

_SAMPLES = REPOSITORY / "samples" / "rooms.ndjson"
_FOUND_WITHIN = 15.0  # seconds
_SEARCHES = (
    ("A typo is forgiven, accents are folded", {"q": "studo zurich", "limit": "3"}),
    (
        "Near Alexanderplatz in Berlin, the nearest first",
        {"near": "52.5219,13.4132", "radius": "5000", "sort": "distance", "limit": "3"},
    ),
    (
        "Let by the month for at most 700 euros, the lowest price first, with a facet",
        {"price_max": "700", "recurrency": "monthly", "sort": "price", "facets": "city", "limit": "3"},
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
    command = [sys.executable, "-m", "rooms", "import", "--url", bases["rooms"], str(_SAMPLES)]
    imported = subprocess.run(command, env=dict(values), check=False)
    if imported.returncode != 0:
        raise StackError(f"the import of {_SAMPLES.name} ended with exit {imported.returncode}")
    rooms = f"{bases['search']}/v1.0/search/rooms"
    hidden = _wait_until_found(rooms)
    print(f"all are found, but for {hidden} that are hidden (is_visible: false)")
    print("\nThree searches to try:")
    for title, parameters in _SEARCHES:
        address = f"{rooms}?{urllib.parse.urlencode(parameters, safe=',')}"
        answer = _ask(address)
        print(f"\n{title}:\n  curl {shlex.quote(address)}")
        print(f"  → {answer['total']['value']} found" + "".join(f"\n    · {_describe(hit)}" for hit in answer["hits"]))
        for facet, counts in (answer.get("facets") or {}).items():
            print(f"    {facet}: " + ", ".join(f"{each['value']} {each['count']}" for each in counts[:6]))


def _wait_until_found(rooms: str) -> int:
    """What was just written takes a moment to be found. Answers how many are not meant to be."""
    with _SAMPLES.open(encoding="utf-8") as lines:
        shown: list[bool] = [json.loads(line).get("is_visible", True) for line in lines if line.strip()]
    visible = sum(shown)
    deadline = time.monotonic() + _FOUND_WITHIN
    while (found := _ask(f"{rooms}?limit=1")["total"]["value"]) < visible:
        if time.monotonic() > deadline:
            raise StackError(
                f"only {found} of {visible} samples are found after {_FOUND_WITHIN:.0f} s; the services' logs say why"
            )
        time.sleep(0.1)
    return len(shown) - visible


def _ask(address: str) -> Any:
    try:
        with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise StackError(f"{address} answered {error.code}: {error.read(500).decode(errors='replace')}") from error
    except (OSError, ValueError) as error:
        raise StackError(f"{address} did not answer: {error}") from error


def _describe(hit: Mapping[str, Any]) -> str:
    room = hit["room"]
    city = (room.get("area") or {}).get("city", "")
    distance = f", {hit['distance_m']:.0f} m away" if hit.get("distance_m") is not None else ""
    return f"{room['name']} ({city}, {room['price']} {room['currency']} {room['recurrency']}{distance})"


if __name__ == "__main__":
    sys.exit(main())
