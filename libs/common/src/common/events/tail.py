"""`events tail`: the events of an exchange as they pass, taken from nobody."""

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import IO
from uuid import UUID

from common.backoff import Backoff
from common.commands import Command
from common.errors import Unavailable, WrongSetting
from common.events.codec import Codec
from common.events.shown import Lines, as_dict, json_text, legible
from common.messaging.port import Broker, Message, Tap

_HEARTBEAT = "Heartbeat"


def tail_command(exchange: str, open: Callable[[], tuple[Broker, Codec]]) -> Command:
    """The sub-command over what `open` gives."""

    def run(arguments: argparse.Namespace) -> int:
        broker, codec = open()
        if arguments.type is not None and arguments.type not in codec.types:
            raise WrongSetting("--type", f"must be one of {', '.join(sorted(codec.types))}, not {arguments.type!r}")
        if arguments.id is not None and not _is_uuid(arguments.id):
            raise WrongSetting("--id", f"must be a UUID, not {arguments.id[:80]!r}")
        lines = Lines(codec)

        def show(message: Message) -> None:
            sys.stdout.write(f"{json_text(as_dict(message, codec)) if arguments.json else lines.line(message)}\n")

        with contextlib.closing(broker):
            try:
                tail(broker, exchange, show, sys.stderr, threading.Event(), type=arguments.type, id=arguments.id)
            except KeyboardInterrupt:
                pass  # how it ends
            except BrokenPipeError:  # `| head` has enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

    return Command("show events as they pass, without taking them from anyone; Ctrl-C ends it", run, _arguments)


def tail(
    broker: Broker,
    exchange: str,
    show: Callable[[Message], None],
    notes: IO[str],
    stop: threading.Event,
    *,
    type: str | None = None,
    id: str | None = None,
) -> None:
    """Shows each message that passes until `stop` is set, where given those of one type and of one listing only.

    Heartbeats are shown when they are asked for. Undecodable ones are chosen by what their headers claim. A broker that is away is
    waited for; that, and what came too fast to be shown, is said in `notes`.
    """
    tap = _tap(broker, exchange, notes, stop)
    if tap is None:
        return
    _note(notes, f"watching {exchange}; Ctrl-C ends it")
    told = 0
    try:
        while not stop.is_set():
            for message in tap.take(timeout=0.5):
                if _is_wanted(message, type, id):
                    show(message)
            sys.stdout.flush()
            if tap.missed > told:
                _note(notes, f"{tap.missed - told:,} events came too fast to be shown")
                told = tap.missed
    finally:
        tap.close()


def _tap(broker: Broker, exchange: str, notes: IO[str], stop: threading.Event) -> Tap | None:
    backoff, told = Backoff(longest=2.0), False
    while not stop.is_set():
        try:
            return broker.tap(exchange)
        except Unavailable as error:
            if not told:  # once, not at every attempt
                _note(notes, f"waiting: {error}")
                told = True
        stop.wait(backoff.pause())
    return None


def _is_wanted(message: Message, type: str | None, id: str | None) -> bool:
    headers = message.headers
    kind = headers.get("cloudEvents_type", message.routing_key)
    return (kind != _HEARTBEAT if type is None else kind == type) and id in (None, headers.get("cloudEvents_subject"))


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _note(notes: IO[str], text: str) -> None:
    notes.write(f"{legible(text)}\n")
    notes.flush()


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--type", help="only events of this type, like RoomUpdated; heartbeats are shown with --type Heartbeat only"
    )
    parser.add_argument("--id", help="only events of the listing with this id")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, with everything that is known")
