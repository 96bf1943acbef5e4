"""`marketd ctl`: send a control command to the running daemon and print the reply."""

import argparse
import asyncio
import json
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from bus.clock import MILLISECOND, SECOND, SystemClock
from bus.errors import UsageError
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser, seconds

if TYPE_CHECKING:
    from bus.client import Client
    from daemon.cli.progress import Bar


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `ctl` to the command line."""
    parser = commands.add_parser("ctl", help="send a control command to the running daemon, e.g. `ctl status`")
    parser.add_argument("name", metavar="COMMAND", help="ping, status, …")
    parser.add_argument("arguments", nargs="*", metavar="key=value", help="the command's arguments; JSON or plain text")
    parser.add_argument("--json", action="store_true", help="print the reply as JSON")
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="S", help="seconds to wait for a reply (default 10)"
    )
    parser.add_argument(
        "--expect-version", type=int, metavar="N", help="change the configuration only if it is at this version"
    )
    parser.set_defaults(run=lambda args: run_async(_ctl(args)))


def parse_arguments(arguments: list[str]) -> dict[str, Any]:
    """Read `key=value`, where a value is JSON or else the text as it stands. Raises UsageError."""
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
    from daemon.cli.progress import Bar  # noqa: PLC0415 # start quickly
    from daemon.cli.rendering import reply_text  # noqa: PLC0415
    from daemon.control.access import needed  # noqa: PLC0415
    from daemon.servers import open_client  # noqa: PLC0415

    arguments = parse_arguments(args.arguments)
    # who is told that nobody answers sends it again: by then the first one must not be done any more
    until = (SystemClock().now() + int(args.timeout * SECOND)) // MILLISECOND
    expires = None if needed(args.name) == "read" else until
    async with open_client(settings(args)) as client:
        with Bar(args.name) as bar:
            async for reply in client.replies(
                args.name, arguments, timeout=args.timeout, expires=expires, expect_version=args.expect_version
            ):
                if args.json:
                    print(json.dumps(reply.fields()), flush=True)  # noqa: T201 # this command's output
                elif not bar.show(reply):
                    print(reply_text(reply), flush=True)  # noqa: T201 # the same
            if reply.status != "done":
                return EXIT_FAILED
            task = None if args.json else _started(args.name, reply.result)
            return EXIT_OK if task is None else await _follow(client, task, bar)


def _started(command: str, result: Any) -> str | None:
    """Return the id of the background task that a command has started, as `backfill.start` does."""
    if command.endswith(".start") and isinstance(result, dict) and {"id", "kind", "state"} <= result.keys():
        return str(result["id"])
    return None


async def _follow(client: "Client", task: str, bar: "Bar") -> int:
    """Show a background task up to its end; an interruption leaves it running."""
    state = ""
    try:
        async for event in client.follow(task):
            bar.at(event.done, event.total)
            state = event.state
    except asyncio.CancelledError:
        print(f"task {task} goes on; 'marketd ctl task.cancel id={task}' ends it", file=sys.stderr)  # noqa: T201 # for people
        raise
    print(f"task {task}: {state}", flush=True)  # noqa: T201 # this command's output
    return EXIT_OK if state == "done" else EXIT_FAILED
