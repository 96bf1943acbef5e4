"""Reads what is stored of paper trading."""

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg
from pydantic import JsonValue

from bus.errors import UsageError
from daemon.nearest import did_you_mean

Rows: TypeAlias = list[dict[str, Any]]

_OPEN = "('NEW', 'PARTIALLY_FILLED')"


class Records:
    """The paper tables. Every method raises what asyncpg raises, OSError and TimeoutError."""

    def __init__(self, connection: "asyncpg.Pool[Any] | asyncpg.Connection[Any]") -> None:
        self._connection = connection

    async def _rows(self, query: str, *args: Any) -> Rows:
        return [dict(row) for row in await self._connection.fetch(query, *args, timeout=30)]

    async def portfolios(self) -> Rows:
        """Return every portfolio with what it is worth now, those that are closed last."""
        return await self._rows(
            "select p.portfolio, p.state, p.mode, p.currency, coalesce(e.equity, i.amount) as equity, "
            "coalesce(e.equity - e.initial, 0) as profit, p.halted, p.ts as since from paper_portfolios p "
            "cross join lateral (select (p.initial ->> p.currency)::numeric as amount) i "
            "left join lateral (select * from paper_equity e where e.portfolio = p.portfolio "
            "order by ts desc, seq desc limit 1) e on true order by p.state desc, p.portfolio"
        )

    async def named(self, name: str) -> str:
        """Return a portfolio's name; without one the only open one. Raises UsageError naming the nearest."""
        known: dict[str, str] = {row["portfolio"]: row["state"] for row in await self.portfolios()}
        if name in known:
            return name
        if name:
            raise UsageError(f"there is no portfolio '{name}'{did_you_mean(name, known) or _list(known)}")
        still_open = [portfolio for portfolio, state in known.items() if state == "open"]
        if len(still_open) == 1:
            return still_open[0]
        if still_open:
            raise UsageError(f"say which portfolio{_list(still_open)}")
        raise UsageError("there is no portfolio yet: portfolio.create makes one")

    async def statistics(self, portfolio: str) -> dict[str, Any]:
        """Return the statistics as of the last fill or sample; empty before the first one."""
        found = await self._connection.fetchval(
            "select statistics from paper_portfolios where portfolio = $1", portfolio, timeout=30
        )
        return dict(json.loads(found)) if found else {}

    async def balances(self, portfolio: str) -> Rows:
        """Return what is owned of each asset, and the part that open orders reserve."""
        return await self._rows(
            "select asset, total, locked, total - locked as free from paper_balances where portfolio = $1 "
            "order by asset", portfolio,
        )  # fmt: skip

    async def positions(self, portfolio: str) -> Rows:
        """Return what is held of each symbol, valued at the last stored trade; closed positions with their result."""
        return await self._rows(
            "select p.exchange, p.symbol, p.quantity, p.average_price, t.price as last_price, "
            "p.quantity * (t.price - p.average_price) as unrealized, p.realized, p.fees from paper_positions p "
            "left join md.instruments i on i.exchange = p.exchange and i.symbol = p.symbol "
            "left join lateral (select price from md.trades t where t.instrument_id = i.instrument_id "
            "order by ts desc limit 1) t on true where p.portfolio = $1 order by p.exchange, p.symbol", portfolio,
        )  # fmt: skip

    async def orders(self, portfolio: str, symbol: str | None, limit: int, *, only_open: bool) -> Rows:
        """Return orders, the newest first."""
        return await self._rows(
            "select id, exchange, symbol, side, order_type as type, quantity, filled, price, stop_price, status, "  # noqa: S608 # our own words
            "reason, ts, updated_at from paper_orders where portfolio = $1 and ($2::text is null or symbol = $2) "
            f"and ({not only_open} or status in {_OPEN}) order by ts desc, id desc limit $3", portfolio, symbol, limit,
        )  # fmt: skip

    async def fills(self, portfolio: str, symbol: str | None, limit: int | None) -> Rows:
        """Return executions, the newest first."""
        return await self._rows(
            "select ts, exchange, symbol, side, quantity, price, fee, fee_currency, liquidity, order_id as order, id "
            "from paper_fills where portfolio = $1 and ($2::text is null or symbol = $2) order by seq desc limit $3",
            portfolio, symbol, limit,
        )  # fmt: skip

    async def equity(self, portfolio: str, points: int) -> Rows:
        """Return the equity curve, thinned out evenly to about so many points, the last one included."""
        return await self._rows(
            "with curve as (select *, row_number() over (order by ts desc, seq desc) - 1 as back, "
            "count(*) over () as n from paper_equity where portfolio = $1) "
            "select ts, equity, realized, unrealized, fees from curve "
            "where $2::int8 > 0 and back % greatest(1, ceil(n / greatest($2, 1)::numeric)::int8) = 0 order by ts, seq",
            portfolio, points,
        )  # fmt: skip


def _list(names: Iterable[str]) -> str:
    return f"; there are {', '.join(names) or 'none'}"


def plain(value: Any) -> JsonValue:
    """Return JSON: numbers as text without superfluous zeros, times as ISO 8601."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    return value.isoformat() if isinstance(value, datetime) else value
