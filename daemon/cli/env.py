"""`marketd env`: the URLs of the bus and the database, for redis-cli, psql and scripts."""

import argparse
import shlex
from argparse import Namespace

from daemon.cli.common import settings
from daemon.cli.parsing import EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `env` to the command line."""
    parser = commands.add_parser("env", help="print REDIS_URL and DATABASE_URL of the configured or running servers")
    parser.set_defaults(run=_env)


def _env(args: Namespace) -> int:
    from daemon.servers import reachable  # noqa: PLC0415 # start quickly

    urls = reachable(settings(args))
    print(f"REDIS_URL={shlex.quote(urls.redis)}")  # noqa: T201 # this command's output
    print(f"DATABASE_URL={shlex.quote(urls.dsn)}")  # noqa: T201
    return EXIT_OK
