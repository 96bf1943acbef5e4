"""`marketd replay`: a recording through the same translators, onto the bus or onto standard output."""

import argparse
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bus.errors import UsageError
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_OK, Parser
from daemon.exchanges import load

if TYPE_CHECKING:
    from daemon.recording import Replay

FLUSH_DEADLINE = 30.0


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no speed: use max, or a number above 0 (1 is real time)")
    return speed


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `replay` to the command line."""
    parser = commands.add_parser("replay", help="a recording through the same translators, onto the bus")
    parser.add_argument("file", metavar="FILE", type=Path, help="a recording: gzipped JSON Lines")
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="N|max", help="times real time (default 1)")
    parser.add_argument(
        "--print", action="store_true", help="events as JSON lines on standard output; no bus, no database"
    )
    parser.set_defaults(run=_replay)


def _replay(args: Namespace) -> int:
    if not args.file.is_file():
        raise UsageError(f"there is no recording '{args.file}'")
    if args.print:
        return _print(args)
    return run_async(_publish(args))


def _print(args: Namespace) -> int:
    from daemon.recording import Recording, event_to_json, replay  # noqa: PLC0415 # start quickly

    recording = Recording(args.file)
    run = replay(recording, load(recording.header.exchange)())
    for index, events in run:
        sys.stdout.writelines(event_to_json(event, index) + "\n" for event in events)
    return _judge(run)


async def _publish(args: Namespace) -> int:
    from daemon.recording import Recording, replay_onto  # noqa: PLC0415 # start quickly
    from daemon.servers import open_bus  # noqa: PLC0415

    recording = Recording(args.file)
    exchange = load(recording.header.exchange)()
    async with open_bus(settings(args)) as bus:
        run = await replay_onto(bus, recording, exchange, args.speed)
        await bus.flush(FLUSH_DEADLINE)
    print(f"{run.frame + 1} frames published")  # noqa: T201 # this command's output
    return _judge(run)


def _judge(run: "Replay") -> int:
    """Say on standard error what could not be read; the rest has been used."""
    if run.malformed:
        sys.stderr.write(f"marketd: {run.malformed} malformed frames, the last one: {run.reason}\n")
    return EXIT_OK
