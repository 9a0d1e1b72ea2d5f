"""The command line: `rooms api | relay | images | all | migrate | status | import FILE | export FILE | events tail`."""

import sys

from common.listings.commands import command_line
from rooms.bootstrap import SERVICE

main = command_line(SERVICE, "The rooms service: listings of rooms.")

if __name__ == "__main__":
    sys.exit(main())
