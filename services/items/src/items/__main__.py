"""The command line: `items api | relay | consumer | all | migrate | status | import FILE | export FILE | events tail | dead …`."""

import sys
from collections.abc import Sequence

from common.commands import main as run_command
from common.listings.commands import listing_commands
from items.bootstrap import SERVICE


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 2 and one line for a wrong setting."""
    return run_command("items", "Things that belong to a room, or stand alone.", listing_commands(SERVICE), argv)


if __name__ == "__main__":
    sys.exit(main())
