"""Where each feed stood by what is stored: taken up where the bus's memory of it is lost, or was never there."""

from typing import Any, Final, Protocol

import asyncpg

from bus import timeframes
from bus.clock import MICROSECOND
from bus.errors import StoreUnavailable, said
from handlers.gaps.books import BookLine
from handlers.gaps.interruptions import Interruption, sound_time
from handlers.gaps.ranges import IdLine
from handlers.gaps.wording import Key

UNTOLD: Final = "nothing is known of the time since the last stored event"
_TIMEOUT: Final = 10.0
_NS: Final = "(extract(epoch from {}) * 1000000)::int8"
_FEEDS: Final = {
    "trade": "trades",
    "ticker": "tickers",
    "book": "book_deltas",
    "funding": "funding_rates",
    "open_interest": "open_interest",
    "liquidation": "liquidations",
    "mark_price": "mark_prices",
}
_FROM: Final = "from md.{} e join md.instruments i using (instrument_id) where i.exchange = $1 and i.symbol = $2"
_LAST: Final = {
    "trade": (
        f"select id, {_NS.format('ts')} as ts, recv_ns {_FROM.format('trades')} and recv_ns < $3 "
        "order by ts desc, length(id) desc, id desc limit 1"
    ),
    "candle": (
        f"select {_NS.format('open_ts')} as ts, recv_ns {_FROM.format('candles')} and recv_ns < $3 "
        "and timeframe = $4 and closed order by open_ts desc limit 1"
    ),
    "book": (
        f"select last_id, {_NS.format('ts')} as ts, recv_ns {_FROM.format('book_deltas')} and recv_ns < $3 "
        "and last_id is not null order by ts desc, recv_ns desc limit 1"
    ),
}


class Past(Protocol):
    """What is known of feeds from before."""

    async def before(self, key: Key, recv: int) -> IdLine | BookLine | Interruption | None:
        """Return where a feed stood before a receive time (ns), None where nothing is known.

        Raises StoreUnavailable.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""


class Stored:
    """The past as the database has it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[Any] | None = None

    async def before(self, key: Key, recv: int) -> IdLine | BookLine | Interruption | None:
        """Return where a feed stood before a receive time (ns), None where nothing is stored.

        Raises StoreUnavailable.
        """
        try:
            row = await self._last(key, recv)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            await self.close()
            raise StoreUnavailable(f"cannot ask where {'|'.join(key)} stood: {said(error)}") from error
        return None if row is None else _taken_up(key, row)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _last(self, key: Key, recv: int) -> "asyncpg.Record | None":
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn, timeout=_TIMEOUT, command_timeout=_TIMEOUT)
        kind, exchange, symbol, detail = key
        arguments = (exchange, symbol, recv, *([detail] if kind == "candle" else []))
        query = _LAST[kind] if kind != "feed" else _feed(detail)
        return await self._connection.fetchrow(query, *arguments)


def _feed(channel: str) -> str:
    return (
        f"select {_NS.format('ts')} as ts, recv_ns {_FROM.format(_FEEDS[channel])} and recv_ns < $3 "
        "order by ts desc, recv_ns desc limit 1"
    )


def _taken_up(key: Key, row: "asyncpg.Record") -> IdLine | BookLine | Interruption | None:
    """Return a feed's state as it would have been kept."""
    kind, ts, recv = key[0], row["ts"] * MICROSECOND, row["recv_ns"]
    if kind == "trade":
        return IdLine(int(row["id"]), ts, recv) if row["id"].isdecimal() else None
    if kind == "candle":
        number = timeframes.number(key[3], ts)
        return None if number is None else IdLine(number, ts, recv)
    if kind == "book":
        return BookLine(row["last_id"], ts, deltas=True)
    return Interruption(sound_time(ts, recv), recv, reports=[(recv + 1, UNTOLD)])
