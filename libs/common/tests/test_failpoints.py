"""Failpoints: each does what it was told, when it was told, and a wrong one is named."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import common
from common.errors import Unavailable, WrongSetting
from common.failpoints import NAMES, RejectedOnPurpose, arm, failpoint

SOURCES = Path(common.__file__).parents[4]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def test_nothing_happens_where_nothing_is_armed():
    for name in NAMES:
        failpoint(name)
    arm("relay.taken=error")
    failpoint("relay.confirmed")
    arm("")
    failpoint("relay.taken")


def test_it_fails_at_each_pass_or_at_the_one_that_was_named():
    arm("relay.taken=error, api.write=error@3")
    for _ in range(2):
        with pytest.raises(Unavailable):
            failpoint("relay.taken")
    outcomes = []
    for _ in range(5):
        try:
            failpoint("api.write")
            outcomes.append("passed")
        except Unavailable:
            outcomes.append("failed")
    assert outcomes == ["passed", "passed", "failed", "passed", "passed"]


def test_an_event_is_rejected_for_what_it_holds():
    arm("consumer.apply=reject:Attic: with a view")
    failpoint("consumer.apply", {"name": "Cellar"})
    with pytest.raises(RejectedOnPurpose, match=r"consumer\.apply=reject:Attic: with a view"):
        failpoint("consumer.apply", {"name": "Attic: with a view"})


def test_killed_means_without_a_word_of_farewell():
    code = "from common.failpoints import *; arm('index.commit=kill@2')\nfor n in 0, 1, 2: failpoint('index.commit'); print(n, flush=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "0\n")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("relay.imagined=kill", "relay.imagined"),
        ("kill", "'kill'"),
        ("relay.taken", "relay.taken can"),
        ("relay.taken=explode", "explode"),
        ("relay.taken=kill:now", "kill:now"),
        ("relay.taken=kill@0", "kill@0"),
        ("relay.taken=sleep", "sleep"),
        ("relay.taken=sleep:-1", "sleep:-1"),
        ("relay.taken=reject:Attic", "reject:Attic"),
        ("consumer.apply=reject:", "reject:"),
    ],
)
def test_what_is_no_failpoint_is_named(setting, named):
    with pytest.raises(WrongSetting) as raised:
        arm(f"api.write=error,{setting}")
    assert str(raised.value).startswith("FAILPOINTS: ")
    assert named in str(raised.value)


def test_each_name_stands_in_the_code_and_no_other():
    found = {
        line.split('failpoint("')[1].split('"')[0]
        for path in SOURCES.glob("*/*/src/**/*.py")
        for line in path.read_text().splitlines()
        if 'failpoint("' in line
    }
    assert found == set(NAMES)


@pytest.mark.parametrize("service", ["rooms", "search"])
def test_a_service_refuses_a_failpoint_that_there_is_not(service, tmp_path):
    settings = {"PATH": "", "DATA_DIR": str(tmp_path), "FAILPOINTS": "relay.imagined=kill"}
    command = [sys.executable, "-m", service, "all"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{service}: FAILPOINTS: there is no 'relay.imagined'")
