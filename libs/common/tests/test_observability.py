"""Ids that travel, and the lines that carry them."""

import asyncio
import io
import json
import logging
import re
import threading
from collections.abc import Iterator

import pytest

from common.observability import bind, configure_logging, current

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def test_outside_any_work_the_ids_are_empty() -> None:
    assert (current().request_id, current().traceparent, current().trace_id) == ("", "", "")


def test_a_trace_goes_on_with_a_span_of_our_own() -> None:
    with bind("r-1", f"00-{TRACE}-{SPAN}-00") as context:
        assert current() is context
        assert (context.request_id, context.trace_id) == ("r-1", TRACE)
        assert FORM.fullmatch(context.traceparent)
        assert SPAN not in context.traceparent
        assert context.traceparent.endswith("-00")  # the caller's choice not to sample stays
    assert current().request_id == ""


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(malformed: str) -> None:
    with bind("r", malformed) as context:
        assert FORM.fullmatch(context.traceparent)
        assert context.trace_id != TRACE


def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known() -> None:
    with bind("r", f"01-{TRACE}-{SPAN}-01-more") as context:
        assert context.trace_id == TRACE
        assert context.traceparent.startswith("00-")


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "a\nb", "ü", "<b>"])
def test_an_odd_request_id_is_replaced(sent: str) -> None:
    with bind(sent) as context:
        assert re.fullmatch(r"[0-9a-f]{32}", context.request_id)


def test_bound_ids_nest_and_stay_within_their_thread_and_task() -> None:
    elsewhere: list[str] = []

    async def task(name: str) -> str:
        with bind(name):
            await asyncio.sleep(0)
            return current().request_id

    async def tasks() -> list[str]:
        return await asyncio.gather(task("a"), task("b"))

    with bind("outer"):
        with bind("inner"):
            assert current().request_id == "inner"
        assert current().request_id == "outer"
        thread = threading.Thread(target=lambda: elsewhere.append(current().request_id))
        thread.start()
        thread.join()
        assert asyncio.run(tasks()) == ["a", "b"]
    assert elsewhere == [""]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_the_ids_and_the_extra_fields(log: io.StringIO) -> None:
    configure_logging("toys", "info", json=True, stream=log)
    with bind("r-1", f"00-{TRACE}-{SPAN}-01"):
        logging.getLogger("shop.till").info("sold %d", 3, extra={"price": 12, "to": {"name": "Ann"}})
    (line,) = log.getvalue().splitlines()
    document = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document.pop("time"))
    assert document == {
        "level": "info",
        "logger": "shop.till",
        "message": "sold 3",
        "service": "toys",
        "request_id": "r-1",
        "trace_id": TRACE,
        "price": 12,
        "to": {"name": "Ann"},
    }


@pytest.mark.parametrize("value", ["line\nbreak", "\ud800", "\0", object(), {1: 2}, b"\xff", float("nan"), 2**70])
def test_no_value_loses_or_splits_a_line(log: io.StringIO, value: object) -> None:
    configure_logging("toys", json=True, stream=log)
    logging.getLogger("x").warning("odd %s", value, extra={"odd": value})
    (line,) = log.getvalue().splitlines()
    assert "toys" in json.loads(line)["service"]


def test_a_traceback_stays_within_its_line(log: io.StringIO) -> None:
    configure_logging("toys", json=True, stream=log)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = log.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_people_get_a_readable_line(log: io.StringIO) -> None:
    configure_logging("toys", json=False, stream=log)
    logging.getLogger("x").info("sold", extra={"price": 12})
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO +toys: sold price=12\n", log.getvalue())
    logging.getLogger("x").info("two\nlines \x1b[31m")
    assert log.getvalue().endswith("two\\x0alines \\x1b[31m\n")


def test_of_a_list_people_get_the_length_and_machines_all_of_it(log: io.StringIO) -> None:
    for as_json in (False, True):
        configure_logging("toys", "info", json=as_json, stream=log)
        logging.getLogger("shop").info("sold", extra={"toys": ["a", "b"]})
    for_people, for_machines = log.getvalue().splitlines()
    assert for_people.endswith("toys: sold toys=2")
    assert json.loads(for_machines)["toys"] == ["a", "b"]


def test_chatty_loggers_are_tamed_and_configuring_twice_does_not_double(log: io.StringIO) -> None:
    configure_logging("toys", stream=log)
    configure_logging("toys", stream=log)
    for name in ("uvicorn.error", "uvicorn.access", "connexion.middleware", "pika"):
        logging.getLogger(name).info("chatter")
    logging.getLogger("uvicorn.error").warning("heard")
    assert [json.loads(line)["message"] for line in log.getvalue().splitlines()] == ["heard"]
    configure_logging("toys", "error", stream=log)
    logging.getLogger("uvicorn.error").warning("not heard")
    assert len(log.getvalue().splitlines()) == 1
