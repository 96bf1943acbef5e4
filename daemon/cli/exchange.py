"""`marketd exchange list | test NAME`: which exchanges there are, and a live check of one."""

import argparse
from argparse import Namespace
from collections.abc import Collection

from daemon.cli.common import check_exchange, run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `exchange` to the command line."""
    parser = commands.add_parser("exchange", help="list the exchanges, or test one")
    actions = parser.add_subparsers(dest="action", metavar="list|test", required=True)
    actions.add_parser(
        "list", help="every exchange, the channels that it streams and those that are polled"
    ).set_defaults(run=_list)
    test = actions.add_parser("test", help="reach one exchange and receive data from it")
    test.add_argument("name", metavar="NAME")
    test.set_defaults(run=lambda args: run_async(_test(args)))


def _list(_: Namespace) -> int:
    from daemon.collectors.ccxt.catalogue import entries  # noqa: PLC0415 # start quickly
    from daemon.exchanges import load, names  # noqa: PLC0415

    rows = [("EXCHANGE", "BY", "STREAMED", "POLLED", "TIMEFRAMES")]
    for name in names():
        exchange = load(name)
        streamed, polled = exchange.channels - exchange.polled, exchange.polled
        rows.append((name, "native", _joined(streamed), _joined(polled), str(len(exchange.timeframes))))
    for entry in entries(without=names()):
        streamed, polled = entry.channels_by("stream"), entry.channels_by("poll")
        rows.append((entry.name, "ccxt", _joined(streamed), _joined(polled), str(entry.timeframes)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())  # noqa: T201 # this command's output
    return EXIT_OK


def _joined(channels: Collection[str]) -> str:
    return " ".join(sorted(channels)) or "-"


async def _test(args: Namespace) -> int:
    from daemon.collectors.factory import check  # noqa: PLC0415 # start quickly
    from daemon.probe import probe_exchange  # noqa: PLC0415

    check_exchange(check, args.name)
    result = await probe_exchange(settings(args), args.name)
    print(f"{args.name}: {result.text}")  # noqa: T201 # this command's output
    return EXIT_OK if result.ok else EXIT_FAILED
