"""`marketd record EXCHANGE … --output FILE`: raw frames of an exchange to a recording."""

import argparse
from argparse import Namespace
from pathlib import Path

from bus.events import MARKET_CHANNELS
from daemon.cli.common import check_exchange, run_async, settings
from daemon.cli.parsing import EXIT_OK, Parser, seconds


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `record` to the command line."""
    parser = commands.add_parser("record", help="raw frames of an exchange to a recording")
    parser.add_argument("exchange", metavar="EXCHANGE")
    parser.add_argument("symbols", metavar="SYMBOL", nargs="+", help="e.g. BTC/USDT")
    parser.add_argument(
        "--channel",
        action="append",
        choices=MARKET_CHANNELS,
        metavar="C",
        help="a channel; may be repeated (default: trade ticker book candle)",
    )  # one sentence
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="where to write, e.g. btc.jsonl.gz")
    parser.add_argument("--seconds", type=seconds, metavar="S", help="stop after S seconds (default: at Ctrl-C)")
    parser.set_defaults(run=lambda args: run_async(_record(args)))


async def _record(args: Namespace) -> int:
    from daemon.exchanges import load  # noqa: PLC0415 # start quickly
    from daemon.recorder import record  # noqa: PLC0415

    check_exchange(load, args.exchange)
    channels = args.channel or ["trade", "ticker", "book", "candle"]
    await record(settings(args), args.exchange, args.symbols, channels, args.output, args.seconds)
    print(f"recorded to {args.output}")  # noqa: T201 # this command's output
    return EXIT_OK
