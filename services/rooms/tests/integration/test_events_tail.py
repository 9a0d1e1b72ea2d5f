"""`make events` of the rooms, as people start and end it."""

import json
import signal
from pathlib import Path

from common.testing.listings.processes import announce, watching

TOOL = Path(__file__).resolve().parents[4] / "tools" / "events.py"


def test_make_events_hands_its_arguments_on(tested, embedded_broker_url: str) -> None:
    with watching(tested, embedded_broker_url, str(TOOL), ARGS="--json --type 'RoomDeleted'") as process:
        announce(tested, embedded_broker_url)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["data"]["version"] == 2
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
