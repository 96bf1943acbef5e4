"""What the outputs of paper trading leave in its tables: rows as JSON, and the SQL that takes them in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bus.clock import MICROSECOND, SECOND
from bus.paper import (
    AnyPaperEvent,
    BalanceReport,
    EquityReport,
    FillReport,
    OrderReport,
    PortfolioReport,
    PositionReport,
    TradingHalted,
)

Row = dict[str, Any]
_NUMBER: Final = re.compile(r"-?\d{1,60}(\.\d{1,60})?")
_CHANGING: Final = ("updated_at", "status", "quantity", "filled", "price", "stop_price", "reason", "message")


@dataclass(frozen=True)
class Table:
    """A table: its name and columns in order, its key, and the columns that a row which stands already takes over."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    changing: tuple[str, ...] = ()

    @property
    def insert(self) -> str:
        """SQL that takes rows as one JSON array; the same rows again change nothing."""
        columns, key = ", ".join(self.columns), ", ".join(self.key)
        update = ", ".join(f"{name} = excluded.{name}" for name in self.changing)
        settle = f"do update set {update}" if update else "do nothing"
        return (
            f"insert into {self.name} ({columns}) "  # noqa: S608 # our own names
            f"select {columns} from jsonb_populate_recordset(null::{self.name}, $1::jsonb) "
            f"on conflict ({key}) {settle}"
        )


ORDERS: Final = Table(
    "paper_orders",
    ("portfolio", "id", "exchange", "symbol", "ts", "side", "order_type", *_CHANGING),
    ("portfolio", "id"),
    _CHANGING,
)
FILLS: Final = Table(
    "paper_fills",
    (
        "seq", "portfolio", "id", "order_id", "exchange", "symbol", "ts", "side", "price", "quantity", "fee",
        "fee_currency", "liquidity",
    ),
    ("seq",),
)  # fmt: skip
POSITIONS: Final = Table(
    "paper_positions",
    ("portfolio", "exchange", "symbol", "ts", "quantity", "average_price", "realized", "fees"),
    ("portfolio", "exchange", "symbol"),
    ("ts", "quantity", "average_price", "realized", "fees"),
)
BALANCES: Final = Table(
    "paper_balances",
    ("portfolio", "asset", "ts", "total", "locked"),
    ("portfolio", "asset"),
    ("ts", "total", "locked"),
)
EQUITY: Final = Table(
    "paper_equity",
    ("portfolio", "ts", "seq", "equity", "initial", "realized", "unrealized", "fees"),
    ("portfolio", "ts", "seq"),
)
PORTFOLIOS: Final = Table(
    "paper_portfolios",
    ("portfolio", "ts", "state", "currency", "initial"),
    ("portfolio",),
    ("ts", "state", "currency", "initial"),
)
WITH_PORTFOLIO: Final = (ORDERS, FILLS, POSITIONS, BALANCES, EQUITY)
"""The tables that lose a portfolio's rows when it begins anew."""


@dataclass
class Changes:
    """What a batch of outputs changes: rows by table and key, portfolios to empty first, halts and statistics."""

    rows: dict[Table, dict[tuple[Any, ...], Row]] = field(default_factory=dict)
    emptied: list[str] = field(default_factory=list)
    halts: dict[str, str | None] = field(default_factory=dict)

    def put(self, table: Table, row: Row) -> None:
        """Note a row; of several with one key the last counts, with the first one's `ts` where an order has two."""
        rows = self.rows.setdefault(table, {})
        key = tuple(row[name] for name in table.key)
        if table is ORDERS and key in rows:
            row["ts"] = rows[key]["ts"]
        rows[key] = row

    def empty(self, portfolio: str) -> None:
        """A portfolio begins anew: what was there before goes."""
        self.emptied.append(portfolio)
        for table in WITH_PORTFOLIO:
            rows = self.rows.get(table, {})
            self.rows[table] = {key: row for key, row in rows.items() if row["portfolio"] != portfolio}


def changes_of(outputs: Iterable[AnyPaperEvent]) -> Changes:
    """Return what outputs change, in their order."""
    changes = Changes()
    for output in outputs:
        _note(changes, output)
    return changes


def _note(changes: Changes, output: AnyPaperEvent) -> None:
    match output:
        case OrderReport():
            row = _row(output, ("quantity", "filled", "price", "stop_price"))
            changes.put(ORDERS, {**row, "updated_at": row["ts"]})
        case FillReport():
            changes.put(FILLS, {**_row(output), "order_id": output.order})
        case PositionReport():
            changes.put(POSITIONS, _row(output))
        case BalanceReport():
            changes.put(BALANCES, _row(output))
        case EquityReport():
            changes.put(EQUITY, _row(output))
        case PortfolioReport():
            if output.state == "reset":
                changes.empty(output.portfolio)
            if output.state != "closed":
                changes.halts[output.portfolio] = None
            changes.put(PORTFOLIOS, {**_row(output), "state": "closed" if output.state == "closed" else "open"})
        case TradingHalted():
            changes.halts[output.portfolio] = output.cause if output.halted else None


def _row(output: AnyPaperEvent, numbers: Sequence[str] = ()) -> Row:
    """Return an output's fields; `numbers` may be anything that somebody asked for, and are left out if no number."""
    row = msgspec.structs.asdict(output)
    row["ts"] = moment(output.ts)
    for name in numbers:
        value = row[name]
        row[name] = value if value is not None and _NUMBER.fullmatch(value) else None
    return row


def moment(ns: int) -> str:
    """Write a time (ns) as PostgreSQL reads it, to the microsecond, without rounding."""
    return f"{datetime.fromtimestamp(ns // SECOND, UTC):%Y-%m-%d %H:%M:%S}.{ns % SECOND // MICROSECOND:06d}+00"


def to_json(value: Sequence[Any] | Mapping[str, Any]) -> str:
    """Write JSON for jsonb, which takes every character but NUL."""
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")
