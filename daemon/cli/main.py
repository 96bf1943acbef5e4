"""Entry point: parse, run one command, and turn every known error into one readable line and an exit status."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn, Protocol

from bus.errors import ConfigError, MarketdError, UsageError
from daemon import logs
from daemon.cli import check, ctl, data, db, env, exchange, migrate, paper, record, replay, run, simulate, tail
from daemon.cli.parsing import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE, Parser


class Command(Protocol):
    """What a command's module offers."""

    def add(self, commands: "argparse._SubParsersAction[Parser]") -> None:
        """Add its parser; the parser's default `run` takes the arguments and returns the exit status."""
        ...


COMMANDS: tuple[Command, ...] = (
    run, check, env, migrate, ctl, tail, data, db, exchange, record, replay, paper, simulate
)  # fmt: skip


def build_parser() -> Parser:
    """Return the whole command line's parser."""
    parser = Parser(prog="marketd", description="A market-data daemon: exchanges in, event bus and exact rows out.")
    parser.add_argument("--version", action="version", version=f"marketd {version('marketd')}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file (default: $MARKETD_CONFIG, ./marketd.toml, /etc/marketd/marketd.toml)",
    )  # one sentence
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    _take_config(commands)
    return parser


def _take_config(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Let commands and their actions take `--config` behind their names, too; what is given before is left alone."""
    for parser in commands.choices.values():
        parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        parser.set_defaults(parser=parser)
        for action in parser._actions:  # noqa: SLF001 # argparse offers no public list
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 # the class has no public name
                _take_config(action)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status: 0 fine, 1 failed, 2 wrong usage, 78 bad configuration."""
    args = build_parser().parse_args(argv)
    logs.configure("warning")  # standard output is for what a command has to say; `run` follows its configuration
    try:
        status = int(args.run(args))
        sys.stdout.flush()
    except ConfigError as error:
        status = _complain(str(error), EXIT_CONFIG)
    except UsageError as error:
        status = _complain(str(error), EXIT_USAGE)
    except MarketdError as error:
        status = _complain(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        status = 130  # what shells expect of a program ended by Ctrl-C
    except BrokenPipeError:
        # the reader of our output (head, less) has left: nothing more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def _complain(text: str, status: int) -> int:
    sys.stderr.write(f"marketd: {text}\n")
    return status
