"""The shells in which documents are run: each that is here."""

import shutil

import pytest

SHELLS = {"bash": ["bash", "--noprofile", "--norc"], "zsh": ["zsh", "-f"]}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param} here")
    return SHELLS[request.param]
