"""`marketd paper`: scenario files through the paper engine, and a report on what a portfolio has done."""

import argparse
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bus.errors import UsageError
from daemon.cli.common import run_async, settings
from daemon.cli.parsing import EXIT_FAILED, EXIT_OK, Parser

if TYPE_CHECKING:
    from handlers.paper.outcome import Outcome
    from handlers.paper.scenario_file import Scenario


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `paper` to the command line."""
    parser = commands.add_parser("paper", help="paper trading: run scenarios, report on a portfolio")
    actions = parser.add_subparsers(dest="action", metavar="replay|report", required=True)
    replay = actions.add_parser("replay", help="market data and orders from a file through the matching engine")
    replay.add_argument("file", metavar="FILE", type=Path, help="scenarios: one JSON file")
    replay.add_argument("--scenario", metavar="ID", help="only this one")
    replay.add_argument("--json", action="store_true", help="print what was computed as one JSON object")
    replay.set_defaults(run=_replay)
    report = actions.add_parser("report", help="a portfolio's statistics, curves and trades as a file")
    report.add_argument("portfolio", metavar="PORTFOLIO", help="its name")
    report.add_argument("--output", metavar="FILE", type=Path, required=True, help="ending in .html, .json or .csv")
    report.set_defaults(run=lambda args: run_async(_report(args)))


async def _report(args: Namespace) -> int:
    """Write a report. Raises UsageError, MarketdError."""
    from daemon.paper.report import FORMATS, gather  # noqa: PLC0415 # start quickly
    from daemon.servers import serve  # noqa: PLC0415

    write = FORMATS.get(args.output.suffix.lower())
    if write is None:
        raise UsageError(f"'{args.output}' ends in none of {', '.join(FORMATS)}")
    async with serve(settings(args), bus=False) as urls:
        report = await gather(urls.dsn, args.portfolio)
    try:
        args.output.write_text(write(report), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write '{args.output}': {error.strerror}") from None
    sys.stdout.write(f"{args.output}: {len(report.trades)} trades, {len(report.equity)} points of equity\n")
    return EXIT_OK


def _replay(args: Namespace) -> int:
    from handlers.paper.scenario import run  # noqa: PLC0415 # start quickly

    outcomes = {scenario.id: run(scenario) for scenario in _chosen(args.file, args.scenario)}
    if args.json:
        computed = {name: outcome.computed for name, outcome in outcomes.items()}
        sys.stdout.write(json.dumps(computed, indent=2) + "\n")
    else:
        _print(outcomes)
    return EXIT_OK if all(outcome.agrees for outcome in outcomes.values()) else EXIT_FAILED


def _chosen(file: Path, wanted: str | None) -> "list[Scenario]":
    """Read the file. Raises UsageError for what is no scenario file, or an id that it does not have."""
    from handlers.paper.scenario_file import read  # noqa: PLC0415 # start quickly

    try:
        scenarios = read(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read '{file}': {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"'{file}' is no scenario file: {error}") from None
    chosen = [scenario for scenario in scenarios if wanted in (None, scenario.id)]
    if not chosen:
        raise UsageError(f"there is no scenario '{wanted}' in '{file}'" if wanted else f"'{file}' has no scenarios")
    return chosen


def _print(outcomes: "dict[str, Outcome]") -> None:
    """Print every item that is expected beside what was computed."""
    from rich.console import Console  # noqa: PLC0415 # start quickly
    from rich.table import Table  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False, markup=False)
    for name, outcome in outcomes.items():
        differing = sum(not item.agrees for item in outcome.items)
        verdict = "agrees" if not differing else f"differs in {differing}"
        console.print(f"{name}: {verdict} of {len(outcome.items)} items" if differing else f"{name}: {verdict}")
        table = Table("item", "expected", "computed", "", box=None)
        for item in outcome.items:
            table.add_row(item.path, str(item.expected), str(item.computed), "agrees" if item.agrees else "differs")
        console.print(table)
