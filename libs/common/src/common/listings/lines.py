"""The import's lines: each a listing in, each an outcome out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from common.errors import Invalid
from common.listings.domain import IDEMPOTENCY_KEY
from common.listings.ports import Once
from common.listings.use_cases import Import, Imported
from common.observability.metrics import ImportedLines
from common.security.current import principal
from common.security.principal import Principal
from common.web.problems import ProblemTable
from common.web.streaming import Line, TooLong, header
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
        by, key = principal(), header(IDEMPOTENCY_KEY)
        once = {} if key is None else self._once(key, by, documents)
        outcomes |= zip(documents, self.listings(list(documents.values()), by, once), strict=True)
        self.counted.add(each.outcome for each in outcomes.values())
        return [_shown(number, outcomes[number]) for number, _ in lines]

    def _once(self, key: str, by: Principal, documents: Mapping[int, dict[str, Any]]) -> dict[int, Once]:
        """By position. What has a url is found again by that: only the others need to be remembered."""
        return {
            position: Once.of(
                by.owner,
                self.listings.kind.plural,
                "import",
                key,
                str(number),
                sent=orjson.dumps(document, option=orjson.OPT_SORT_KEYS),
            )
            for position, (number, document) in enumerate(documents.items())
            if document.get("url") is None
        }

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
