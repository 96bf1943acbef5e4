"""`marketd data download`: history into the database."""

import argparse
import sys
from argparse import Namespace
from typing import Any

from daemon.cli.common import check_exchange, run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser


def add_download(actions: "argparse._SubParsersAction[Parser]") -> None:
    """Add `download` to the actions of `data`."""
    parser = actions.add_parser("download", help="history of trades or candles into the database")
    parser.add_argument("exchange", metavar="EXCHANGE")
    parser.add_argument("symbols", metavar="SYMBOL", nargs="+", help="e.g. BTC/USDT")
    parser.add_argument("--channel", choices=("trade", "candle"), default="candle", help="trade or candle (default)")
    parser.add_argument("--timeframe", default="1m", metavar="T", help="length of the candles (default 1m)")
    parser.add_argument("--since", required=True, metavar="T", help="2024-08-08, 2024-08-08T12:00 (UTC), or 30d ago")
    parser.add_argument("--until", metavar="T", help="before this time (default: now)")
    parser.add_argument(
        "--jobs", type=int, default=4, metavar="N", help="parts that are asked for at a time (default 4)"
    )
    parser.set_defaults(run=lambda args: run_async(_download(args)))


async def _download(args: Namespace) -> int:
    from daemon.collectors.factory import check  # noqa: PLC0415 # start quickly
    from daemon.tasks.foreground import run_here  # noqa: PLC0415

    check_exchange(check, args.exchange)
    names = ("exchange", "symbols", "channel", "timeframe", "since", "until", "jobs")
    arguments = {name: value for name in names if (value := getattr(args, name)) is not None}
    task = await run_here(settings(args), "download", arguments)
    if task.state != "done":
        sys.stderr.write(f"marketd: {task.error or task.state}\n")
        return EXIT_FAILED
    for feed in task.result["feeds"]:
        print(_line(feed), *feed["differing"], sep="\n  ")  # noqa: T201 # this command's output
    return EXIT_FAILED if any(feed["reason"] for feed in task.result["feeds"]) else EXIT_OK


def _line(feed: dict[str, Any]) -> str:
    """Say of one feed how much stands, what is missing, and what differs from the minutes it is made of."""
    name = f"{feed['symbol']} {feed['timeframe'] or 'trades'}"
    if feed["reason"]:
        return f"{name}: {feed['rows']} rows stored; {feed['reason']}"
    found = f"complete by its {feed['by']}"
    if feed["missing"]:
        found = f"{feed['missing']} missing by its {feed['by']}: the exchange has no more"
    if feed["compared"]:
        found += f"; {feed['compared']} compared with their minutes, {feed['differ']} differ"
    return f"{name}: {feed['rows']} rows stored, {found}"
