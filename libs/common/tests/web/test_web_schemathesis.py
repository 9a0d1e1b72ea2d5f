"""schemathesis over the toy's document, over HTTP: whatever it makes up is answered as the document says, never with a 5xx."""

from collections.abc import Iterator
from types import ModuleType

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from common.security.keys import Keys
from common.security.tokens import Tokens
from common.testing.tokens import TestIssuer
from common.web.guard import Guard
from common.web.serve import HttpServer, running

OPERATIONS = ["list_toys", "create_toy", "read_toy", "replace_toy", "patch_toy", "delete_toy"]


ISSUER = TestIssuer()


@pytest.fixture(scope="module")
def protected(toys: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("protected")
    keys = Keys(str(ISSUER.write(folder / "jwks.json")))
    guard = Guard(Tokens(ISSUER.issuer, ISSUER.audience, keys), token_url="https://issuer.example/token")
    with running(toys.toy_app(spec=toys.protected_spec(folder / "openapi.yaml"), guard=guard)) as server:
        yield server


# Without schemathesis' own pytest plugin: 4.32 reads an attribute of test items that pytest 9.2 no longer has.
# The import takes any bytes at all and answers line by line; test_web_streaming has it.
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_made_up_request_is_answered_as_documented(server: HttpServer, name: str, mode: GenerationMode) -> None:
    answered_as_documented(server, name, mode, {})


@pytest.mark.parametrize("token", [True, False], ids=["authenticated", "not"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_so_it_is_where_writes_are_protected(protected: HttpServer, name: str, mode: GenerationMode, token: bool) -> None:
    answered_as_documented(protected, name, mode, {"Authorization": f"Bearer {ISSUER.token(scopes='admin')}"} if token else {})


def answered_as_documented(server: HttpServer, name: str, mode: GenerationMode, headers: dict[str, str]) -> None:
    # U+0000 is refused everywhere, which OpenAPI has no word for.
    config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}})
    document = schemathesis.openapi.from_url(f"{server.url}/v1.0/openapi.json", config=config)
    operation = document.find_operation_by_id(name)

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS.get_all(), headers=headers)

    check()
