"""`marketd exchange list | test NAME`: what adapters there are, and a live check of one."""

import argparse
from argparse import Namespace

from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `exchange` to the command line."""
    parser = commands.add_parser("exchange", help="list the exchange adapters, or test one")
    actions = parser.add_subparsers(dest="action", metavar="list|test", required=True)
    actions.add_parser("list", help="the adapters and the channels that each has").set_defaults(run=_list)
    test = actions.add_parser("test", help="reach one exchange and receive data from it")
    test.add_argument("name", metavar="NAME")
    test.set_defaults(run=lambda args: run_async(_test(args)))


def _list(_: Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415 # start quickly
    from rich.table import Table  # noqa: PLC0415

    from daemon.exchanges import load, names  # noqa: PLC0415

    table = Table("exchange", "channels", "timeframes", "by", "endpoint", box=None)
    for name in names():
        exchange = load(name)
        table.add_row(
            name,
            " ".join(sorted(exchange.channels)),
            str(len(exchange.timeframes)),
            "native",
            exchange.endpoints.websocket,
        )
    Console(soft_wrap=True).print(table)
    return EXIT_OK


async def _test(args: Namespace) -> int:
    from daemon.probe import probe_exchange  # noqa: PLC0415 # start quickly

    result = await probe_exchange(settings(args), args.name)
    print(f"{args.name}: {result.text}")  # noqa: T201 # this command's output
    return EXIT_OK if result.ok else EXIT_FAILED
