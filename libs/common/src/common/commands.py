"""A service's command line: sub-commands, and one plain line for whatever goes wrong in a foreseeable way."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common.errors import AtriumError


@dataclass(frozen=True)
class Command:
    """A sub-command; `run` answers the exit status, None for 0. `arguments` adds its arguments to the parser."""

    help: str
    run: Callable[[argparse.Namespace], int | None]
    arguments: Callable[[argparse.ArgumentParser], None] | None = None


@dataclass(frozen=True)
class Group:
    """A sub-command that has sub-commands itself."""

    help: str
    commands: Mapping[str, Command]


def main(service: str, description: str, commands: Mapping[str, Command | Group], argv: Sequence[str] | None = None) -> int:
    """Runs one of `commands`. An AtriumError becomes one line on stderr and exit status 2, an interrupt 130."""
    parser = argparse.ArgumentParser(prog=service, description=description)
    _add(parser, commands)
    arguments = parser.parse_args(argv)
    command: Command = arguments.command
    try:
        status = command.run(arguments) or 0
        sys.stdout.flush()
        return status
    except AtriumError as error:
        print(f"{service}: {error}", file=sys.stderr)  # noqa: T201 (a command line speaks)
        return 2
    except OSError as error:  # adapters translate theirs: this is about what is written to
        _be_quiet()
        if not isinstance(error, BrokenPipeError):  # `| head` has enough
            print(f"{service}: cannot write: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130


def _be_quiet() -> None:
    """Nothing more is written at the end: it would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _add(parser: argparse.ArgumentParser, commands: Mapping[str, Command | Group]) -> None:
    subparsers = parser.add_subparsers(required=True, metavar="|".join(commands))
    for name, command in commands.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        if isinstance(command, Group):
            _add(subparser, command.commands)
            continue
        subparser.set_defaults(command=command)
        if command.arguments is not None:
            command.arguments(subparser)
