"""`marketd ctl`: send a control command to the running daemon and print the reply."""

import argparse
import json
from argparse import Namespace
from typing import Any

from bus.errors import UsageError
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `ctl` to the command line."""
    parser = commands.add_parser("ctl", help="send a control command to the running daemon, e.g. `ctl status`")
    parser.add_argument("name", metavar="COMMAND", help="ping, status, …")
    parser.add_argument("arguments", nargs="*", metavar="key=value", help="the command's arguments; JSON or plain text")
    parser.add_argument("--json", action="store_true", help="print the reply as JSON")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="seconds to wait for a reply (default 10)"
    )
    parser.set_defaults(run=lambda args: run_async(_ctl(args)))


def _parse(arguments: list[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise UsageError(f"argument '{argument}' has no '=': write it as key=value")
        try:
            parsed[key] = json.loads(value, parse_float=str)
        except ValueError:
            parsed[key] = value
    return parsed


async def _ctl(args: Namespace) -> int:
    from daemon.cli.rendering import reply_text  # noqa: PLC0415 # start quickly
    from daemon.servers import open_commands  # noqa: PLC0415

    arguments = _parse(args.arguments)
    async with open_commands(settings(args)) as client:
        async for reply in client.send(args.name, arguments, deadline=args.timeout):
            print(json.dumps(reply.fields()) if args.json else reply_text(reply), flush=True)  # noqa: T201 # this command's output
            if reply.status in {"failed", "rejected"}:
                return EXIT_FAILED
    return EXIT_OK
