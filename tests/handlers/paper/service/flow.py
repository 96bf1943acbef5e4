"""A market and commands as the paper handler gets them, and the stream that it publishes to."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from bus.clock import SECOND, ManualClock
from bus.events import Book, Event, Trade
from bus.handler import Batch
from bus.local import LocalState
from bus.paper import PaperCommand, PaperEvent, PaperReply
from handlers.paper.service import PaperHandler
from migrations.runner import migrate

EXCHANGE, SYMBOL = "binance", "BTC/USDT"
START = 1_700_000_000 * SECOND


def book(at: int, bids: dict[str, str], asks: dict[str, str]) -> Book:
    return Book(
        EXCHANGE, SYMBOL, None, START + at, "ws", "snapshot", list(bids.items()), list(asks.items()), last_id=at
    )


def trade(at: int, side: str, price: str, amount: str) -> Trade:
    return Trade(EXCHANGE, SYMBOL, START + at, START + at, "ws", str(at), price, amount, side)


def command(at: int, name: str, identity: str = "", /, **args: Any) -> PaperCommand:
    return PaperCommand(START + at, identity or f"c{at}", name, args, START + at + 10 * SECOND)


def create(at: int, name: str = "demo", **more: Any) -> PaperCommand:
    return command(at, "portfolio.create", name=name, initial={"USDT": "10000"}, **more)


def order(at: int, side: str, kind: str, identity: str = "", **more: Any) -> PaperCommand:
    asked = {"id": identity, "exchange": "", "symbol": SYMBOL, "side": side, "order_type": kind, **more}
    return command(at, "order.submit", order=asked)


class Stand:
    """The paper handler with a database, and the stream that it publishes to."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.clock = ManualClock()
        self.stream: list[PaperEvent] = []
        self.other: list[Event] = []
        self.unsettled: list[Event] = []
        """What was handed over and is not acknowledged."""
        self.handler = self._made()

    def _made(self) -> PaperHandler:
        async def newest() -> Event | None:
            return self.stream[-1] if self.stream else None

        return PaperHandler(self.dsn, newest, self.clock)

    async def open(self) -> "Stand":
        await migrate(self.dsn)
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(
            "insert into md.instruments (exchange, symbol, native, base, quote, kind, active, tick_size, lot_size, "
            "min_notional) values ('binance', 'BTC/USDT', 'BTCUSDT', 'BTC', 'USDT', 'spot', true, 0.01, 0.00001, 5)"
        )
        await connection.close()
        await self.handler.start(LocalState())
        return self

    async def restart(self) -> None:
        """The process has died; another one begins, and gets again what was not acknowledged."""
        await self.handler._keeper._journal.close()
        await self.begin_again()

    async def begin_again(self) -> None:
        """Another process begins."""
        self.handler = self._made()
        await self.handler.start(LocalState())
        if self.unsettled:
            await self.give()

    async def give(self, *events: Event) -> list[PaperEvent]:
        """Hand over a batch behind what is not acknowledged, publish what comes back and return it."""
        batch = Batch([*self.unsettled, *events])
        self.unsettled += events
        told = self.publish(await self.handler.handle(batch))
        self.acknowledge()
        return told

    def acknowledge(self) -> None:
        """Forget what was handed over, once the handler has it for good."""
        if self.handler.settled:
            self.unsettled.clear()

    def publish(self, events: Sequence[Event]) -> list[PaperEvent]:
        told = [event for event in events if isinstance(event, PaperEvent)]
        self.stream += told
        self.other += [event for event in events if not isinstance(event, PaperEvent)]
        return told

    async def ask(self, asked: PaperCommand) -> PaperReply:
        """Give one command and return its reply."""
        (reply,) = [event for event in await self.give(asked) if isinstance(event, PaperReply)]
        return reply

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything that a table holds, as text."""
        connection = await asyncpg.connect(self.dsn)
        try:
            found = await connection.fetch(f"select row_to_json(t)::jsonb - 'ts' as row from {table} t order by 1")
        finally:
            await connection.close()
        return [row["row"] for row in found]
