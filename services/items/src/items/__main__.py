"""The command line: `items api | relay | images | consumer | all | migrate | status | import FILE | export FILE | events tail | dead …`."""

import sys

from common.listings.commands import command_line
from items.bootstrap import SERVICE

main = command_line(SERVICE, "The items service: things that belong to a room, or stand alone.")

if __name__ == "__main__":
    sys.exit(main())
