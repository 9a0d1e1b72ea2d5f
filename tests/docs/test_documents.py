"""The documents say what is so: their links lead somewhere, and what they show is what happens."""

import json
from pathlib import Path

import pytest

from common.testing.documents import Terminal, addressed, dead_links, steps
from common.testing.system import System

#: Where `make run` serves, as the documents say.
ROOMS, SEARCH = "http://127.0.0.1:8001", "http://127.0.0.1:8003"
REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    assert dead_links(document) == []


@pytest.mark.e2e
@pytest.mark.parametrize("stack", ["embedded"], indirect=True)
def test_every_block_for_readers_of_the_article_shows_what_it_says(system: System, tmp_path: Path) -> None:
    found = steps(REPOSITORY / "docs" / "from-the-article.md")
    assert {step.language for step in found} == {"python", "sh"}
    assert all(step.shown for step in found), "a block that shows nothing cannot fail"
    with Terminal(["bash", "--noprofile", "--norc"], REPOSITORY, system.environ, tmp_path) as terminal:
        for step in found:
            terminal.follow(
                addressed(step, {ROOMS: str(system.rooms.base_url).rstrip("/"), SEARCH: str(system.search.base_url).rstrip("/")})
            )


def test_the_recipe_shows_the_field_that_was_added_by_it() -> None:
    (field,) = [step.code for step in steps(REPOSITORY / "docs" / "recipes" / "add-a-field.md") if step.language == "json"]
    for type in ("RoomCreated", "RoomUpdated"):
        schema = json.loads((REPOSITORY / "schemas" / "rooms" / f"{type}.v2.avsc").read_text(encoding="utf-8"))
        assert json.loads(field) in schema["fields"]
