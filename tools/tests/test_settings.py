"""What `.env.example` tells is what the services read."""

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

import stack

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.mark.parametrize("service", [service.name for service in stack.SERVICES])
def test_every_setting_is_listed(service: str) -> None:
    config = import_module(f"{service}.config").Config
    listed = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    for field in fields(config):
        if field.name == "metrics_dir":
            continue  # what a process tells its children
        names = {name.replace("{SERVICE}", getattr(config, "SERVICE", "")) for name in field.metadata["rule"].names}
        assert listed & names, f"{field.name} is not in {EXAMPLE.name}"
