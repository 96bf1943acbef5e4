"""Keeps the latest prices up to date: from the bus as they come, from the database what the bus has not said."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Final

import asyncpg
import structlog

from bus.client import Client
from bus.clock import MICROSECOND, Clock
from bus.errors import said
from daemon.prices.memory import LatestPrices, Statistics

log = structlog.get_logger(__name__)

INTERVAL: Final = 60.0
"""Seconds between two looks into the database."""
DEADLINE: Final = 30.0
_QUERY: Final = """
select exchange, symbol, (extract(epoch from ts) * 1000000)::int8 as us, price, price - change_24h as open, high_24h,
    low_24h, volume
from latest_prices
where price is not null
"""


class PriceFeed:
    """Feeds the memory; `follow` and `look` are supervised roles."""

    def __init__(
        self, prices: LatestPrices, connect: Callable[[], Client], pool: "asyncpg.Pool[asyncpg.Record]", clock: Clock
    ) -> None:
        self._prices = prices
        self._connect = connect
        self._pool = pool
        self._clock = clock

    async def follow(self) -> None:
        """Learn from every trade and ticker on the bus, until cancelled. Raises BusUnavailable."""
        async with self._connect() as client, aclosing(client.subscribe(channel=("trade", "ticker"))) as events:
            async for event in events:
                self._prices.take(event)

    async def look(self) -> None:
        """Ask the database at first, and whenever no ticker says what the last 24 hours were; until cancelled."""
        wanted = True
        while True:
            if wanted or self._prices.stale(self._clock.now()):
                wanted = not await self._seed()
            await self._clock.sleep(INTERVAL)

    async def _seed(self) -> bool:
        try:
            async with asyncio.timeout(DEADLINE):
                rows = await self._pool.fetch(_QUERY)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("latest prices are not looked up", reason=said(error))
            return False
        for row in rows:
            day = Statistics(
                row["us"] * MICROSECOND, *(_text(row[name]) for name in ("open", "high_24h", "low_24h", "volume"))
            )
            self._prices.seed((row["exchange"], row["symbol"]), f"{row['price']:f}", day)
        return True


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
