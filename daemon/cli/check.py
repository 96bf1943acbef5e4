"""`marketd check`: is the configuration right, and is everything it names within reach? One line each."""

import argparse
from argparse import Namespace

from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `check` to the command line."""
    parser = commands.add_parser(
        "check", help="validate the configuration and reach the bus, the database and each exchange"
    )
    parser.set_defaults(run=lambda args: run_async(_check(args)))


async def _check(args: Namespace) -> int:
    from daemon.collectors.factory import check_all  # noqa: PLC0415 # start quickly
    from daemon.probe import probe_all  # noqa: PLC0415 # start quickly

    config = settings(args)
    check_all(config.exchanges)
    print("configuration: fine")  # noqa: T201 # this command's output
    failed = False
    async for name, result in probe_all(config):
        print(f"{name}: {result.text}", flush=True)  # noqa: T201
        failed |= not result.ok
    return EXIT_FAILED if failed else EXIT_OK
