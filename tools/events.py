#!/usr/bin/env python3
"""`make events`: `rooms events tail`, or that of another SERVICE, with the settings of `.env`, as `make run` has them."""

from __future__ import annotations

import os
import shlex
import sys

from stack import StackError, chosen, environment


def main() -> int:
    """Becomes that command; 2 with one line when it cannot be run."""
    try:
        arguments = shlex.split(os.environ.get("ARGS", ""))
    except ValueError as error:
        print(f"atrium: ARGS cannot be read: {error}", file=sys.stderr)
        return 2
    try:
        values, service = environment(), chosen()
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 2
    return os.execve(sys.executable, [sys.executable, "-m", service.name, "events", "tail", *arguments], values)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    sys.exit(main())
