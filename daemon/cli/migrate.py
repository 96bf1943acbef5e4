"""`marketd migrate`: apply or list the database migrations."""

import argparse
from argparse import Namespace

from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `migrate` to the command line."""
    parser = commands.add_parser("migrate", help="apply the database migrations")
    parser.add_argument("--status", action="store_true", help="list them and what is applied, change nothing")
    parser.set_defaults(run=lambda args: run_async(_migrate(args)))


async def _migrate(args: Namespace) -> int:
    from daemon.servers import serve  # noqa: PLC0415 # start quickly
    from migrations.runner import migrate, status  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        if args.status:
            for state in await status(urls.dsn):
                print(f"{state.version:04d} {state.name:<24} {state.state}")  # noqa: T201 # this command's output
            return EXIT_OK
        applied = await migrate(urls.dsn)
        for migration in applied:
            print(f"applied {migration}")  # noqa: T201
        if not applied:
            print("the database is up to date")  # noqa: T201
    return EXIT_OK
