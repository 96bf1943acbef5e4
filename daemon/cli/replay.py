"""`marketd replay`: a recording through the same translators, onto the bus or onto standard output."""

import argparse
from argparse import Namespace
from pathlib import Path

from bus.errors import UsageError
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_OK, Parser


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
    import sys  # noqa: PLC0415

    from daemon.recording import Recording, event_to_json, replay  # noqa: PLC0415 # start quickly

    with Recording.open(args.file) as recording:
        for index, events in replay(recording):
            sys.stdout.writelines(event_to_json(event, index) + "\n" for event in events)
    return EXIT_OK


async def _publish(args: Namespace) -> int:
    from daemon.recording import Recording, replay_onto  # noqa: PLC0415 # start quickly
    from daemon.servers import open_bus  # noqa: PLC0415

    async with open_bus(settings(args)) as bus:
        with Recording.open(args.file) as recording:
            count = await replay_onto(bus, recording, speed=args.speed)
    print(f"{count} events")  # noqa: T201 # this command's output
    return EXIT_OK
