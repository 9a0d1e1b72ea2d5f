"""The command line: `widgets api | relay | images | all | migrate | status | import FILE | export FILE | events tail`."""

import sys

from common.listings.commands import command_line
from widgets.bootstrap import SERVICE

main = command_line(SERVICE, "Listings of widgets.")

if __name__ == "__main__":
    sys.exit(main())
