"""`marketd simulate`: the simulated exchange alone."""

import argparse
from argparse import Namespace

from daemon.cli.common import run_async
from daemon.cli.parsing import EXIT_OK, Parser


def _rate(text: str) -> int:
    rate = int(text)
    if not 1 <= rate <= 50_000:  # noqa: PLR2004 # the documented range
        raise argparse.ArgumentTypeError(f"{rate} is not between 1 and 50000 events a second")
    return rate


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:  # noqa: PLR2004 # TCP's range
        raise argparse.ArgumentTypeError(f"{port} is no port: use 0 (any free one) to 65535")
    return port


def _days(text: str) -> int:
    days = int(text)
    if not 0 <= days <= 60:  # noqa: PLR2004 # the documented range
        raise argparse.ArgumentTypeError(f"{days} is not between 0 and 60 days")
    return days


def _symbols(text: str) -> int:
    from daemon.simulator.symbols import MOST_SYMBOLS  # noqa: PLC0415 # the other commands start without it

    count = int(text)
    if not 1 <= count <= MOST_SYMBOLS:
        raise argparse.ArgumentTypeError(f"{count} is not between 1 and {MOST_SYMBOLS} symbols")
    return count


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `simulate` to the command line."""
    parser = commands.add_parser("simulate", help="the simulated exchange: Binance spot's public protocol on loopback")
    parser.add_argument(
        "--port", type=_port, default=8720, metavar="P", help="port on 127.0.0.1 (default 8720; 0: any free)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the same seed gives the same order flow (default 1)"
    )
    parser.add_argument(
        "--rate", type=_rate, default=200, metavar="N", help="order events a second, 1 to 50000 (default 200)"
    )
    parser.add_argument(
        "--symbols", type=_symbols, default=6, metavar="N", help="how many symbols it trades (default 6)"
    )
    parser.add_argument(
        "--history-days", type=_days, default=0, metavar="N", help="days of candles before the start (default 0)"
    )
    parser.add_argument(
        "--until-eof", action="store_true", help="end when standard input does, as a child of another program"
    )
    parser.set_defaults(run=lambda args: run_async(_simulate(args)))


async def _simulate(args: Namespace) -> int:
    from daemon.simulator import run_simulator  # noqa: PLC0415 # the other commands start without it

    await run_simulator(
        port=args.port, seed=args.seed, rate=args.rate, symbols=args.symbols, history_days=args.history_days,
        until_eof=args.until_eof,
    )  # fmt: skip
    return EXIT_OK
