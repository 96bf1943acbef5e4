"""`marketd data stats | validate | gaps | export`: what is stored, how good it is, what is missing, copies of it."""

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bus.clock import SystemClock
from bus.errors import UsageError
from bus.events import MARKET_CHANNELS
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_OK, Parser

if TYPE_CHECKING:
    from daemon.storage.feeds import Selection

FORMATS = ("csv", "parquet")
STATES = ("open", "filling", "filled", "unfillable")


def add_stored(actions: "argparse._SubParsersAction[Parser]") -> None:
    """Add the actions of `data` that are about what is stored."""
    stats = _action(actions, "stats", "rows, spans, ingest rates, sizes and compression")
    stats.set_defaults(run=lambda args: run_async(_stats(args)))
    validate = _action(actions, "validate", "a quality report on every feed, with a score from 0 to 1")
    validate.set_defaults(run=lambda args: run_async(_validate(args)))
    gaps = _action(actions, "gaps", "the intervals in which data is missing")
    gaps.add_argument(
        "--state", action="append", choices=STATES, metavar="STATE", help="may be repeated (default: all but filled)"
    )
    gaps.set_defaults(run=lambda args: run_async(_gaps(args)))
    export = _action(actions, "export", "a copy in files, with checksums and quality beside them")
    export.add_argument("--output", required=True, type=Path, metavar="DIR", help="where the files go")
    export.add_argument(
        "--format", choices=FORMATS, default="csv", metavar="F", help="csv (default; gzipped, by year) or parquet"
    )
    export.set_defaults(run=lambda args: run_async(_export(args)))


def _action(actions: "argparse._SubParsersAction[Parser]", name: str, description: str) -> Parser:
    parser = actions.add_parser(name, help=description)
    add_selection(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def add_selection(parser: Parser) -> None:
    """Add the options that choose among what is stored."""
    parser.add_argument("--exchange", metavar="X", help="only this exchange")
    parser.add_argument("--symbol", metavar="S", help="only this symbol, e.g. BTC/USDT")
    parser.add_argument("--channel", metavar="C", choices=MARKET_CHANNELS, help="only this channel")
    parser.add_argument("--timeframe", metavar="T", help="only candles of this length, e.g. 1m")
    parser.add_argument(
        "--since", metavar="T", type=_moment, help="from this time (UTC), e.g. 2024-08-08T12:00, or 30d ago"
    )
    parser.add_argument("--until", metavar="T", type=_moment, help="before this time (UTC)")


def _moment(text: str) -> int:
    from daemon.history.arguments import moment  # noqa: PLC0415 # start quickly

    try:
        return moment(text, SystemClock().now())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; {error}") from None


def selection(args: Namespace) -> "Selection":
    """Return what the options have chosen."""
    from daemon.storage.feeds import Selection  # noqa: PLC0415 # start quickly

    if args.since is not None and args.until is not None and args.since >= args.until:
        raise UsageError("--since is not before --until: nothing lies between")
    return Selection(args.exchange, args.symbol, args.channel, args.timeframe, args.since, args.until)


async def _stats(args: Namespace) -> int:
    from daemon.cli import reports  # noqa: PLC0415 # start quickly
    from daemon.cli.waiting import bar  # noqa: PLC0415
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.stats import stats  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        with bar("counting") as progress:
            found = await stats(urls.dsn, selection(args), progress)
    if args.json:
        reports.print_json(found)
    else:
        reports.print_stats(found)
    return EXIT_OK


async def _validate(args: Namespace) -> int:
    from daemon.cli import reports  # noqa: PLC0415 # start quickly
    from daemon.cli.waiting import bar  # noqa: PLC0415
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.quality import FORMULA, validate  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        with bar("validating") as progress:
            found = await validate(urls.dsn, selection(args), progress)
    if args.json:
        reports.print_json({"score": FORMULA, "feeds": found})
    else:
        reports.print_quality(found)
    return EXIT_OK


async def _gaps(args: Namespace) -> int:
    from daemon.cli import reports  # noqa: PLC0415 # start quickly
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.gaps import gaps  # noqa: PLC0415

    states = tuple(args.state or (state for state in STATES if state != "filled"))
    async with serve(settings(args), bus=False) as urls:
        found = await gaps(urls.dsn, selection(args), states)
    if args.json:
        reports.print_json({"gaps": found})
    else:
        reports.print_gaps(found)
    return EXIT_OK


async def _export(args: Namespace) -> int:
    from daemon.cli import reports  # noqa: PLC0415 # start quickly
    from daemon.cli.waiting import bar  # noqa: PLC0415
    from daemon.servers import serve  # noqa: PLC0415
    from daemon.storage.export import export  # noqa: PLC0415

    async with serve(settings(args), bus=False) as urls:
        with bar("exporting") as progress:
            done = await export(urls.dsn, selection(args), args.output, args.format, SystemClock(), progress)
    if args.json:
        reports.print_json(done)
    else:
        print(f"{done.written} files written with {done.rows} rows, {done.unchanged} files unchanged")  # noqa: T201 # this command's output
    return EXIT_OK
