"""The command line: that of all listings, and `items consumer | audit`."""

import argparse
import os
import sys

from common.commands import Command
from common.config import load
from common.listings.audit_command import audit_command
from common.listings.commands import command_line, opened
from common.observability import configure_logging
from items.audit import AuditRooms
from items.bootstrap import SERVICE
from items.config import Config
from items.entrypoints.cli import WORDING, rooms_audit_arguments


def _audit(arguments: argparse.Namespace) -> int:
    config = load(Config, os.environ)
    configure_logging(SERVICE.name, "WARNING", json=False)
    with opened(SERVICE, config) as injector:
        return audit_command("rooms", injector.get(AuditRooms), WORDING, arguments)


main = command_line(
    SERVICE,
    "The items service: things that belong to a room, or stand alone.",
    {"audit": Command("compare what is known of rooms with what the rooms service keeps", _audit, rooms_audit_arguments)},
)

if __name__ == "__main__":
    sys.exit(main())
