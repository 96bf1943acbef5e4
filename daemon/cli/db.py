"""`marketd db …`: the database itself: a test, upkeep, a backup and back."""

import argparse
from argparse import Namespace
from pathlib import Path

from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `db` to the command line."""
    parser = commands.add_parser("db", help="test, optimize, back up or restore the database")
    actions = parser.add_subparsers(dest="action", metavar="test|optimize|backup|restore", required=True)
    test = actions.add_parser("test", help="reach the database, say what it is, write and read a row")
    test.set_defaults(run=lambda args: run_async(_test(args)))
    optimize = actions.add_parser("optimize", help="remove what is too old, compress, refresh aggregates, vacuum: now")
    optimize.set_defaults(run=lambda args: run_async(_optimize(args)))
    backup = actions.add_parser("backup", help="copy every table into one file")
    backup.add_argument("file", metavar="FILE", type=Path)
    backup.set_defaults(run=lambda args: run_async(_backup(args)))
    restore = actions.add_parser("restore", help="put a backup into an empty database")
    restore.add_argument("file", metavar="FILE", type=Path)
    restore.set_defaults(run=lambda args: run_async(_restore(args)))


async def _test(args: Namespace) -> int:
    from bus.clock import SystemClock  # noqa: PLC0415 # start quickly
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.probe import probe  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        found = await probe(urls.dsn, SystemClock())
    print(f"server: PostgreSQL {found.postgresql}, {found.timescaledb}")  # noqa: T201 # this command's output
    print(f"round trip: {found.round_trip_ms:.1f} ms")  # noqa: T201
    print(f"writing and reading: {'fine' if found.writes else 'a row that was written came back changed'}")  # noqa: T201
    print(f"migrations: {found.migrations}")  # noqa: T201
    return EXIT_OK if found.writes else EXIT_FAILED


async def _optimize(args: Namespace) -> int:
    from bus.clock import SystemClock  # noqa: PLC0415 # start quickly
    from daemon.cli import reports  # noqa: PLC0415
    from daemon.cli.waiting import bar  # noqa: PLC0415
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.optimize import optimize  # noqa: PLC0415
    from daemon.storage.retention import policy_of, retain  # noqa: PLC0415

    config = settings(args)
    async with serve(config, bus=False) as urls:
        with bar("removing") as progress:
            removals = await retain(urls.dsn, policy_of(config.retention), SystemClock(), progress)
        with bar("optimizing") as progress:
            done = await optimize(urls.dsn, progress)
    reports.print_removals(removals)
    reports.print_optimized(done)
    return EXIT_FAILED if done.failed else EXIT_OK


async def _backup(args: Namespace) -> int:
    from bus.clock import SystemClock  # noqa: PLC0415 # start quickly
    from daemon.cli.waiting import bar  # noqa: PLC0415
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.backup import backup  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        with bar("backing up") as progress:
            manifest = await backup(urls.dsn, args.file, SystemClock(), progress)
    print(f"{sum(table.rows for table in manifest.tables)} rows of {len(manifest.tables)} tables in {args.file}")  # noqa: T201 # this command's output
    return EXIT_OK


async def _restore(args: Namespace) -> int:
    from daemon.cli.waiting import bar  # noqa: PLC0415 # start quickly
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.restore import restore  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        with bar("restoring") as progress:
            manifest = await restore(urls.dsn, args.file, progress)
    rows = sum(table.rows for table in manifest.tables)
    print(f"{rows} rows of {len(manifest.tables)} tables as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC restored")  # noqa: T201 # this command's output
    return EXIT_OK
