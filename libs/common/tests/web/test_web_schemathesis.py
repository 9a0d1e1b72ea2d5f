"""schemathesis over the toy's document, over HTTP: whatever it makes up is answered as the document says, never with a 5xx."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from common.web.serve import HttpServer

OPERATIONS = ["list_toys", "create_toy", "read_toy", "replace_toy", "patch_toy", "delete_toy"]


# Without schemathesis' own pytest plugin: 4.32 reads an attribute of test items that pytest 9.2 no longer has.
# The import takes any bytes at all and answers line by line; test_web_streaming has it.
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_made_up_request_is_answered_as_documented(server: HttpServer, name: str, mode: GenerationMode) -> None:
    # U+0000 is refused everywhere, which OpenAPI has no word for.
    config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}})
    document = schemathesis.openapi.from_url(f"{server.url}/v1.0/openapi.json", config=config)
    operation = document.find_operation_by_id(name)

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered_as_documented(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS.get_all())

    answered_as_documented()
