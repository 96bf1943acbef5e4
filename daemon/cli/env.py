"""`marketd env`: the URLs of the bus and the database, for redis-cli, psql and scripts."""

import argparse
import os
import re
import shlex
from argparse import Namespace
from typing import Final

from daemon.cli.common import settings
from daemon.cli.parsing import EXIT_OK, Parser

_PLAIN: Final = re.compile(r"[\w@%+=:,./?-]+", re.ASCII)


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `env` to the command line."""
    parser = commands.add_parser("env", help="print REDIS_URL and DATABASE_URL of the configured or running servers")
    parser.set_defaults(run=_env)


def _env(args: Namespace) -> int:
    from daemon.servers import reachable  # noqa: PLC0415 # start quickly

    urls = reachable(settings(args))
    # with the usual port left out no shell needs quotes: programs that read the lines themselves take them literally
    dsn = urls.dsn if "PGPORT" in os.environ else urls.dsn.removesuffix("&port=5432")
    print(f"REDIS_URL={_assigned(urls.redis)}")  # noqa: T201 # this command's output
    print(f"DATABASE_URL={_assigned(dsn)}")  # noqa: T201
    return EXIT_OK


def _assigned(value: str) -> str:
    """Spell a value for a shell's assignment, in which `?` and `=` stand for themselves."""
    return value if _PLAIN.fullmatch(value) else shlex.quote(value)
