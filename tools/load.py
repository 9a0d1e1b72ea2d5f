#!/usr/bin/env python3
"""`make import FILE=…`: `rooms import`, or that of another SERVICE, with the settings of `.env`, as `make run` has them."""

from __future__ import annotations

import os
import sys

from stack import StackError, chosen, environment, url


def main() -> int:
    """Becomes that command; 2 with one line when it cannot be run."""
    file = os.environ.get("FILE", "")
    if not file:
        print("atrium: which file? `make import FILE=samples/rooms.ndjson`; - is standard input", file=sys.stderr)
        return 2
    try:
        values = environment()
        service = chosen()
        command = [sys.executable, "-m", service.name, "import", "--url", url(service, values), "--", file]
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 2
    return os.execve(sys.executable, command, values)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    sys.exit(main())
