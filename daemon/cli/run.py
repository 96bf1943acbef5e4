"""`marketd run`: the daemon, in the foreground."""

import argparse
from argparse import Namespace

from daemon.cli.common import run_async, settings
from daemon.cli.parsing import Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser("run", help="the daemon, in the foreground")
    parser.add_argument(
        "--demo", action="store_true", help="add the built-in simulated exchange: works with no network"
    )
    parser.add_argument(
        "--role", default="all", metavar="ROLE", help="all, collect, handle, or handle:NAME[,NAME…] (default: all)"
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    from daemon import app  # noqa: PLC0415 # the other commands start without it
    from daemon.roles import Roles  # noqa: PLC0415

    roles = Roles.parse(args.role)
    config = settings(args)
    return run_async(app.run(config, roles, demo=args.demo))
