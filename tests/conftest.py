"""What spans services runs on a system of them, once embedded and once on real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.servers import Stack
from common.testing.system import System, running


@pytest.fixture
def system(stack: Stack, tmp_path: Path) -> Iterator[System]:
    with running(stack, tmp_path, real=stack.database_url.startswith("postgresql")) as system:
        yield system


@pytest.fixture
def whole(stack: Stack, tmp_path: Path) -> Iterator[System]:
    """With the items service."""
    with running(stack, tmp_path, real=stack.database_url.startswith("postgresql"), items=True) as system:
        yield system
