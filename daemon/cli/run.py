"""`marketd run`: the daemon, in the foreground."""

import argparse
import gc
import os
from argparse import Namespace

from daemon.cli.common import run_async, where
from daemon.cli.parsing import Parser
from daemon.config import Config, load


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser("run", help="the daemon, in the foreground")
    parser.add_argument(
        "--demo", action="store_true", help="add the built-in simulated exchange: works with no network"
    )
    parser.add_argument(
        "--role",
        default="all",
        metavar="ROLE",
        help="all, collect, handle, or handle:NAME[,NAME…]; handle:NAME-1of2 is half of one (default: all)",
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    from daemon import app  # noqa: PLC0415 # the other commands start without it
    from daemon.roles import Roles  # noqa: PLC0415

    roles = Roles.parse(args.role)
    # what lives long, such as books, is looked through for garbage: at Python's own pace a fifth of a core went there
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)
    path = where(args)

    def read() -> Config:
        return load(path, os.environ)

    return run_async(app.run(read(), roles, read, demo=args.demo))
