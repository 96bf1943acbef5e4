"""A portfolio's report: everything that is stored of it, as one page for people, or as data."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import asyncpg

from bus.errors import StoreUnavailable, UsageError, said
from daemon.paper.page import page
from daemon.paper.records import Records, Rows, plain

POINTS: Final = 2_000
"""Points of the curves; a longer history is thinned out evenly."""
TRADES: Final = 100_000
TIMEOUT: Final = 15.0


@dataclass(frozen=True)
class Report:
    """What is told of a portfolio. `trades` are executions, oldest first."""

    portfolio: dict[str, Any]
    statistics: dict[str, Any]
    equity: Rows
    balances: Rows
    positions: Rows
    trades: Rows


async def gather(dsn: str, name: str) -> Report:
    """Read what is stored of a portfolio. Raises UsageError naming the nearest, StoreUnavailable."""
    try:
        connection = await asyncpg.connect(dsn, timeout=TIMEOUT)
        try:
            return await _gather(Records(connection), name)
        finally:
            await connection.close(timeout=TIMEOUT)
    except asyncpg.UndefinedTableError:
        raise UsageError("nothing of paper trading is stored in this database yet: 'marketd run' prepares it") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreUnavailable(f"the database cannot be read: {said(error)}") from error


async def _gather(records: Records, name: str) -> Report:
    name = await records.named(name)
    (portfolio,) = [row for row in await records.portfolios() if row["portfolio"] == name]
    return Report(
        portfolio,
        await records.statistics(name),
        drawdowns(await records.equity(name, POINTS)),
        await records.balances(name),
        await records.positions(name),
        (await records.fills(name, None, TRADES))[::-1],
    )


def drawdowns(equity: Rows) -> Rows:
    """Add to each point how far it is below the highest one so far, as a share of that."""
    high = Decimal(0)
    found = []
    for point in equity:
        high = max(high, point["equity"])
        share = (high - point["equity"]) / high if high > 0 else Decimal(0)
        found.append({**point, "drawdown": round(share, 8)})
    return found


def as_json(report: Report) -> str:
    """Return the whole report as one JSON object; numbers are text, times ISO 8601."""
    return json.dumps(plain(vars(report)), indent=2) + "\n"


def as_csv(report: Report) -> str:
    """Return the executions, one a line, oldest first."""
    text = io.StringIO()
    names = ["ts", "exchange", "symbol", "side", "quantity", "price", "fee", "fee_currency", "liquidity", "order", "id"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for trade in report.trades:
        row = plain(trade)
        assert isinstance(row, dict)
        writer.writerow([row[name] for name in names])
    return text.getvalue()


def as_html(report: Report) -> str:
    """Return a page that needs nothing else: statistics, curves and every trade."""
    return page(report.portfolio, report.statistics, report.equity, report.positions, report.balances, report.trades)


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {".html": as_html, ".json": as_json, ".csv": as_csv}
"""How a report is written, by the ending of its file's name."""
