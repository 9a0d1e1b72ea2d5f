"""The documents say what is so: their links lead somewhere, and what they show is what happens."""

from pathlib import Path

import pytest

from common.testing.documents import Step, Terminal, dead_links, missing, steps
from common.testing.system import System
from common.testing.waiting import eventually

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
            check(terminal, addressed(step, system))


def addressed(step: Step, system: System) -> Step:
    """The step with the addresses of this system for those of `make run`."""
    code = step.code.replace("http://127.0.0.1:8001", str(system.rooms.base_url).rstrip("/"))
    code = code.replace("http://127.0.0.1:8003", str(system.search.base_url).rstrip("/"))
    return Step(step.language, code, step.line, step.notes, step.shown)


def check(terminal: Terminal, step: Step) -> None:
    """Runs a step; one with the note `until` again and again, as it waits for what it shows."""

    def ran() -> bool:
        status, output = terminal.run(step)
        lacking = missing(step.shown, output)
        if lacking is None and status == 0:
            return True
        assert "until" in step.notes, f"line {step.line}: exit {status}, no {lacking!r} in\n{output}"
        return False

    eventually(ran)
