#!/usr/bin/env python3
"""`make lineage ID=…`: `search lineage` with the settings of `.env`, as `make run` has them."""

from __future__ import annotations

import os
import sys

from stack import SERVICES, StackError, environment, url


def main() -> int:
    """Becomes `search lineage`; 2 with one line when it cannot be run."""
    id = os.environ.get("ID", "")
    if not id:
        print("atrium: which listing? `make lineage ID=01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11`", file=sys.stderr)
        return 2
    try:
        values = environment()
        values = {f"{each.name.upper()}_URL": url(each, values) for each in SERVICES if each.migrates} | values
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 2
    return os.execve(sys.executable, [sys.executable, "-m", "search", "lineage", "--", id], values)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    sys.exit(main())
