"""The documents say what is so: their links lead somewhere, and what they show is what happens."""

import json
import re
import sys
from pathlib import Path

import pytest

from common.testing.documents import Step, Terminal, addressed, dead_links, steps
from common.testing.system import System

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    assert dead_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_pasted_means_the_same_in_every_shell(document: Path) -> None:
    for step in steps(document):
        for line in step.code.splitlines() if step.language == "sh" else ():
            assert not re.search(r"(^|\s)#", line), f"line {step.line}: an interactive zsh takes {line!r} for no comment"
            assert not re.search(r"(^|\s)[^'\"\s]*[?*\[]", line.split("'")[0].split('"')[0]), (
                f"line {step.line}: {line!r} is a pattern"
            )


def follow(found: list[Step], system: System, shell: list[str], scratch: Path) -> None:
    """Runs these blocks in one shell, on this system in place of what `make` starts and runs."""
    tool = f"{sys.executable} {REPOSITORY / 'tools'}"
    addresses = {
        "http://127.0.0.1:8001": str(system.rooms.base_url).rstrip("/"),
        "http://127.0.0.1:8002": str(system.items.base_url).rstrip("/"),
        "http://127.0.0.1:8003": str(system.search.base_url).rstrip("/"),
        "make -s token": f"{tool}/issuer.py token",  # in the environment that make makes
        "make import FILE=samples/rooms.ndjson": f"FILE=samples/rooms.ndjson {tool}/load.py",
    }
    with Terminal(shell, REPOSITORY, system.environ, scratch) as terminal:
        for step in found:
            terminal.follow(addressed(step, addresses))


@pytest.mark.e2e
@pytest.mark.parametrize("stack", ["embedded"], indirect=True)
def test_five_minutes_with_the_readme_show_what_they_say(whole: System, shell: list[str], tmp_path: Path) -> None:
    found = [step for step in steps(REPOSITORY / "README.md") if step.shown]
    assert [step.code.split()[0] for step in found] == ["curl", "sleep", "curl", "ROOM_ID=$(curl", "make", "curl"]
    follow(found, whole, shell, tmp_path)


@pytest.mark.e2e
@pytest.mark.parametrize("stack", ["embedded"], indirect=True)
def test_every_block_for_readers_of_the_article_shows_what_it_says(system: System, shell: list[str], tmp_path: Path) -> None:
    found = steps(REPOSITORY / "docs" / "from-the-article.md")
    assert {step.language for step in found} == {"python", "sh"}
    assert all(step.shown for step in found), "a block that shows nothing cannot fail"
    follow(found, system, shell, tmp_path)


def test_the_recipe_shows_the_field_that_was_added_by_it() -> None:
    (field,) = [step.code for step in steps(REPOSITORY / "docs" / "recipes" / "add-a-field.md") if step.language == "json"]
    for type in ("RoomCreated", "RoomUpdated"):
        schema = json.loads((REPOSITORY / "schemas" / "rooms" / f"{type}.v2.avsc").read_text(encoding="utf-8"))
        assert json.loads(field) in schema["fields"]
