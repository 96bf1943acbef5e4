"""`marketd tail`: print events as they come over the bus."""

import argparse
import sys
from argparse import Namespace

from bus.events import MARKET_CHANNELS
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_OK, Parser, count


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `tail` to the command line."""
    parser = commands.add_parser("tail", help="print events as they come")
    parser.add_argument("--exchange", metavar="X", help="only this exchange")
    parser.add_argument("--symbol", metavar="S", help="only this symbol, e.g. BTC/USDT")
    parser.add_argument(
        "--channel", metavar="C", choices=(*MARKET_CHANNELS, "system", "dead", "paper"), help="only this channel"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--count", metavar="N", type=count, help="stop after N events")
    parser.set_defaults(run=lambda args: run_async(_tail(args)))


async def _tail(args: Namespace) -> int:
    from daemon.cli.rendering import event_json, event_line  # noqa: PLC0415 # start quickly
    from daemon.servers import open_client  # noqa: PLC0415

    show = event_json if args.json else event_line
    left = args.count
    async with open_client(settings(args)) as client:
        if args.exchange and args.exchange not in (there := await client.exchanges()):
            known = ", ".join(there) or "none yet"
            print(f"nothing of '{args.exchange}' is on the bus; waiting (there are: {known})", file=sys.stderr)  # noqa: T201 # for people
        async for event in client.subscribe(exchange=args.exchange, channel=args.channel, symbol=args.symbol):
            print(show(event), flush=True)  # noqa: T201 # this command's output
            if left is not None:
                left -= 1
                if left <= 0:
                    break
    return EXIT_OK
