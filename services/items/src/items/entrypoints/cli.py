"""`items audit`: how it speaks."""

import argparse

from common.listings.audit_command import Wording, audit_arguments

WORDING = Wording(
    copy="the projection",
    copied="known",
    before_repair="--repair sets it right; items in rooms that are not kept (phantom, stray) are deleted by that",
    after_repair="what is left is refused",
)


def rooms_audit_arguments(parser: argparse.ArgumentParser) -> None:
    audit_arguments(parser, "set right what is known of rooms; items in rooms that are not kept are deleted")
