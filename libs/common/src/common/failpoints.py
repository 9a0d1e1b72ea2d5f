"""Failpoints: at every step of the way of the data a place where a test, or the curious, can make the process fail.

Armed by the setting FAILPOINTS, `name=action` separated by commas: `relay.confirmed=kill@3,consumer.applied=sleep:0.5`. Actions:

- `kill`: SIGKILL to this process;
- `error`: raises Unavailable, as if a neighbour did not answer;
- `sleep:SECONDS`;
- `reject:TEXT`: where an event passes, one whose data contain TEXT becomes a dead letter.

`@N` after an action: at the N-th pass only; else at each.
"""

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import AtriumError, Unavailable, WrongSetting

log = logging.getLogger(__name__)

#: All there are, along the way of the data. `write` stands for the moment before a step, `written` for the moment after it.
NAMES = (
    "api.write",  # a change and its event are about to be made durable
    "api.written",
    "api.answer",  # an answer is about to be sent
    "relay.taken",  # events have been read from the outbox
    "publisher.sent",  # they, or dead letters, are on their way to the broker
    "relay.confirmed",  # it has them; the outbox has them too
    "relay.deleted",
    "consumer.taken",  # events have been handed to us
    "consumer.apply",  # one has been decoded: passed by each event, the others by each batch
    "consumer.applied",
    "consumer.acked",
    "consumer.bury",  # some are about to become dead letters
    "consumer.buried",
    "items.learned",  # what events tell of rooms is durable
    "items.follow",  # some items of a room are about to be brought to where it is, or to go with it: passed for each such portion
    "items.followed",
    "items.settled",  # all items of a room have been
    "index.commit",  # documents are about to be made durable
    "index.committed",
    "images.taken",  # an image is about to be fetched
    "images.fetched",  # its bytes are here
    "images.kept",  # its copies are in the store
    "images.settled",  # the database knows
)

_ACTION = re.compile(r"(?P<verb>[a-z]+)(?::(?P<argument>.*?))?(?:@(?P<at>[1-9][0-9]{0,8}))?")


@dataclass(eq=False)
class RejectedOnPurpose(AtriumError):
    """A failpoint rejects this event."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"FAILPOINTS has {self.name}=reject:{self.text}, and the event contains that"


@dataclass(slots=True)
class _Point:
    """What happens at one failpoint; `act` gets what passes there."""

    name: str
    action: str
    act: Callable[[object], None]
    at: int | None
    passes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passed(self, data: object) -> None:
        with self._lock:
            self.passes += 1
            now = self.passes
        if now == (self.at or 1):  # not at each: a full log would be a failure of its own
            log.warning("failpoint %s: %s", self.name, self.action)
        if self.at is None or now == self.at:
            self.act(data)


# Of the whole process, as the signals and the log are: what is armed must be seen from anywhere, and cost nothing when it is not.
_armed: dict[str, _Point] | None = None


def failpoint(name: str, data: object = None) -> None:
    """Nothing, unless this point is armed. Then it may end the process, raise Unavailable or RejectedOnPurpose, or take its time."""
    if _armed is not None and name in _armed:
        _armed[name].passed(data)


def arm(setting: str) -> None:
    """Arms what the text of FAILPOINTS names, and nothing else; an empty one disarms. Raises WrongSetting."""
    global _armed
    points = [_point(part.strip()) for part in setting.split(",") if part.strip()]
    _armed = {point.name: point for point in points} or None
    if points:
        log.warning("failpoints are armed: %s", setting)


def _point(text: str) -> _Point:
    name, _, action = (part.strip() for part in text.partition("="))
    if name not in NAMES:
        raise WrongSetting("FAILPOINTS", f"there is no {name!r}; there are {', '.join(NAMES)}")
    match = _ACTION.fullmatch(action)
    act = _act(name, match["verb"], match["argument"]) if match else None
    if match is None or act is None:
        raise WrongSetting("FAILPOINTS", f"{name} can kill, error, sleep:SECONDS or (consumer.apply) reject:TEXT, not {action!r}")
    return _Point(name, action, act, int(match["at"]) if match["at"] else None)


def _act(name: str, verb: str, argument: str | None) -> Callable[[object], None] | None:
    """The action, None if there is no such."""
    match verb, argument:
        case "kill", None:
            return lambda _: os.kill(os.getpid(), signal.SIGKILL)
        case "error", None:
            return lambda _: _fail(name)
        case "sleep", str() if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", argument):
            seconds = float(argument)
            return lambda _: time.sleep(seconds)
        case "reject", str() if argument and name == "consumer.apply":
            return lambda data: _reject(name, argument, data)
    return None


def _fail(name: str) -> None:
    raise Unavailable("a failpoint", name)


def _reject(name: str, text: str, data: object) -> None:
    if text in str(data):
        raise RejectedOnPurpose(name, text)
