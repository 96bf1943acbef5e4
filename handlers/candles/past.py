"""What was before the handler's memory begins: minutes and trades as the database has them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

import asyncpg

from bus.clock import MICROSECOND
from bus.errors import StoreUnavailable, said
from handlers.candles.bar import Bar

_TIMEOUT: Final = 15.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS: Final = "(extract(epoch from {}) * 1000000)::int8 * 1000"
_FROM: Final = "from md.{} e join md.instruments i using (instrument_id) where i.exchange = $1 and i.symbol = $2"
_SINCE: Final = f"select min({_NS.format('open_ts')}) {_FROM.format('candles')} and timeframe = '1m' and closed"
_MINUTES: Final = (
    f"select {_NS.format('open_ts')} as open_ts, open, high, low, close, volume, trades {_FROM.format('candles')} "
    "and timeframe = '1m' and closed and open_ts >= $3 and open_ts < $4 order by open_ts"
)
_TRADES: Final = (
    f"select id, {_NS.format('ts')} as ts, price, amount {_FROM.format('trades')} and ts >= $3 and ts < $4 order by ts"
)


class StoredTrade(NamedTuple):
    """A trade out of the database."""

    id: str
    ts: int
    price: str
    amount: str


class Past(Protocol):
    """What is known from before. All raise StoreUnavailable; times in ns, the end is not included."""

    async def since(self, exchange: str, symbol: str) -> int | None:
        """Return when the first one-minute candle opens, None without any."""
        ...

    async def minutes(self, exchange: str, symbol: str, start: int, end: int) -> Sequence[Bar]:
        """Return closed one-minute candles, in order."""
        ...

    async def trades(self, exchange: str, symbol: str, start: int, end: int) -> Sequence[StoredTrade]:
        """Return trades, in order."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""


class StoredPast:
    """The past as the database has it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[Any] | None = None

    async def since(self, exchange: str, symbol: str) -> int | None:
        """See `Past.since`."""
        (row,) = await self._fetch(_SINCE, exchange, symbol)
        return None if row[0] is None else int(row[0])

    async def minutes(self, exchange: str, symbol: str, start: int, end: int) -> Sequence[Bar]:
        """See `Past.minutes`."""
        return [Bar(*row) for row in await self._fetch(_MINUTES, exchange, symbol, _moment(start), _moment(end))]

    async def trades(self, exchange: str, symbol: str, start: int, end: int) -> Sequence[StoredTrade]:
        """See `Past.trades`."""
        rows = await self._fetch(_TRADES, exchange, symbol, _moment(start), _moment(end))
        return [StoredTrade(row["id"], row["ts"], _text(row["price"]), _text(row["amount"])) for row in rows]

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _fetch(self, query: str, *arguments: object) -> "list[asyncpg.Record]":
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self._dsn, timeout=_TIMEOUT, command_timeout=_TIMEOUT)
            return await self._connection.fetch(query, *arguments)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            await self.close()
            raise StoreUnavailable(f"cannot read candles from before: {said(error)}") from error


def _moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // MICROSECOND)


def _text(value: Decimal) -> str:
    return format(value, "f")
