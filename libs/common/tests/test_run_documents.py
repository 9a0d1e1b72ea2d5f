"""A document is run as a reader would paste it, and what it shows is looked for as a reader would."""

from pathlib import Path

import pytest

from common.testing.documents import Step, Terminal, addressed, dead_links, missing, steps

DOCUMENT = """
# A document

<!-- until -->
```sh
COUNT=1
```

<!-- this one is about the paragraph -->
A paragraph.

```sh
echo $COUNT
```
```text
1
```

<!-- terminal 3 -->
```text
elsewhere
```

[here](there.md#part) and [away](https://example.org) and [below](#part)
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.md"
    path.write_text(DOCUMENT, encoding="utf-8")
    return path


@pytest.fixture
def terminal(tmp_path: Path):
    with Terminal(["bash", "--noprofile", "--norc"], tmp_path, {}, tmp_path) as terminal:
        yield terminal


def test_blocks_come_with_the_notes_right_before_them_and_with_what_they_show(document):
    assert steps(document) == [
        Step("sh", "COUNT=1\n", 5, ("until",)),
        Step("sh", "echo $COUNT\n", 12, (), "1\n"),
        Step("text", "elsewhere\n", 20, ("terminal 3",)),
    ]


def test_what_a_block_shows_may_be_hidden_from_readers(document, terminal):
    document.write_text("<!-- shows one -->\n<!-- shows t…o -->\n```sh\necho one; echo two\n```\n", encoding="utf-8")
    (step,) = steps(document)
    assert step.shown == "one\nt…o\n"
    terminal.follow(step)


def test_a_block_without_an_end_is_no_document(document):
    document.write_text("```sh\nexit", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 1"):
        steps(document)


def test_what_one_block_sets_the_next_one_sees(document, terminal):
    for step in steps(document)[:2]:
        terminal.follow(step)


def test_a_block_that_fails_or_shows_something_else_is_told_with_its_output(terminal):
    for step in (
        Step("sh", "echo one; false\n", 1),
        Step("sh", "echo one\n", 2, shown="two"),
        Step("python", "print('one'); 1/0", 3),
    ):
        with pytest.raises(AssertionError, match=f"line {step.line}: (.|\\n)*one"):
            terminal.follow(step)


def test_a_block_that_waits_is_run_until_it_shows_what_it_waits_for(terminal, tmp_path):
    count = f"echo x >>{tmp_path}/count; wc -l <{tmp_path}/count"
    terminal.follow(Step("sh", count, 1, ("until",), "3"))


def test_a_shell_that_ends_is_told(terminal):
    with pytest.raises(AssertionError, match="the shell ended"):
        terminal.follow(Step("sh", "exit 3", 1))


@pytest.mark.parametrize(
    ("shown", "lacking"),
    [
        ("", None),
        ('"id":"…","name"', None),
        ("one\nthree", None),
        ("three\none", "one"),
        ("one…three", "one…three"),
        ("o.e", "o.e"),
    ],
)
def test_lines_are_looked_for_in_order_each_within_a_line(shown, lacking):
    assert missing(shown, '{"id":"7","name":"one"}\none\ntwo\nthree\n') == lacking


def test_another_stack_differs_in_its_address_alone():
    step = addressed(Step("sh", "curl http://a/x", 1, ("until",), "y"), {"http://a": "http://b:1"})
    assert step == Step("sh", "curl http://b:1/x", 1, ("until",), "y")


def test_a_link_that_leads_nowhere_is_found(document):
    assert dead_links(document) == ["there.md"]
    (document.parent / "there.md").touch()
    assert dead_links(document) == []
