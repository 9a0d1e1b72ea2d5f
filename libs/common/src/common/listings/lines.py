"""The import's lines: each a listing in, each an outcome out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from common.errors import Invalid
from common.listings.use_cases import Import, Imported
from common.observability.metrics import ImportedLines
from common.security.current import principal
from common.web.problems import ProblemTable
from common.web.streaming import Line, TooLong
from common.web.validation import Schema, parse_json

#: Says what is wrong with a line just as it would with a request.
PROBLEMS = ProblemTable()


@dataclass(frozen=True)
class ImportLines:
    """Answers `{"line", "outcome", "id", "problem"}` for each line, in order. Raises Unavailable."""

    listings: Import
    schema: Schema
    counted: ImportedLines

    def __call__(self, lines: Sequence[Line]) -> list[bytes]:
        outcomes: dict[int, Imported] = {}
        documents: dict[int, dict[str, Any]] = {}
        for number, line in lines:
            try:
                documents[number] = self._document(line)
            except Invalid as error:
                outcomes[number] = Imported("invalid", problem=error)
        outcomes |= zip(documents, self.listings(list(documents.values()), principal()), strict=True)
        self.counted.add(each.outcome for each in outcomes.values())
        return [_shown(number, outcomes[number]) for number, _ in lines]

    def _document(self, line: bytes | TooLong) -> dict[str, Any]:
        if isinstance(line, TooLong):
            raise Invalid.field("", f"the line has more than {line.limit} bytes")
        document = parse_json(line)
        if errors := self.schema.errors(document):
            raise Invalid(errors)
        return {name: value for name, value in document.items() if name not in self.schema.read_only}


def _shown(number: int, imported: Imported) -> bytes:
    problem = None if imported.problem is None else PROBLEMS.problem(imported.problem).document()
    return orjson.dumps({"line": number, "outcome": imported.outcome, "id": imported.id, "problem": problem})
