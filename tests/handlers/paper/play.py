"""A short way to say what happens to an account, and to read what came of it: for tests of single rules."""

from typing import Any

from bus.clock import MILLISECOND
from bus.events import Book, MarkPrice, Ticker, Trade
from bus.paper import CommandRejected, FillReport, OrderReport
from handlers.paper import snapshot
from handlers.paper.account import Position
from handlers.paper.commands import Amend, Cancel, CancelAll, Command, Halt, Resume, Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.market import Tradable
from handlers.paper.orders import OrderRequest
from handlers.paper.portfolio import Portfolio
from handlers.paper.settings import Settings
from handlers.paper.units import money_text

EXCHANGE, SYMBOL, NAME = "x", "BTC/USDT", "me"
SPEC = InstrumentSpec(SYMBOL, "BTC", "USDT", tick="0.01", step="0.0001", min_notional="5")


class Play:
    """One account on one symbol. Every step takes a millisecond; levels are written "price*size price*size"."""

    def __init__(self, settings: Settings | None = None, **initial: str) -> None:
        self.engine = Engine()
        self.engine.list_instrument(Instrument(EXCHANGE, SPEC))
        self.engine.create(NAME, initial or {"USDT": "10000"}, settings or Settings())
        self.t = 0

    def at(self, t: int) -> None:
        """The next step happens at `t` milliseconds."""
        self.t = t - 1

    def restart(self) -> None:
        reports = self.engine.reports
        self.engine = snapshot.load(snapshot.dump(self.engine))
        self.engine.reports.extend(reports)

    # market

    def event(self, event: Tradable) -> None:
        self.engine.on_event(event)

    def _now(self) -> int:
        self.t += 1
        return self.t * MILLISECOND

    def book(self, bids: str, asks: str) -> None:
        now = self._now()
        self.event(Book(EXCHANGE, SYMBOL, now, now, "ws", "snapshot", _levels(bids), _levels(asks)))

    def level(self, side: str, level: str) -> None:
        now = self._now()
        bids, asks = (_levels(level), []) if side == "bid" else ([], _levels(level))
        self.event(Book(EXCHANGE, SYMBOL, now, now, "ws", "delta", bids, asks))

    def trade(self, side: Any, print_: str) -> None:
        now = self._now()
        [(price, size)] = _levels(print_)
        self.event(Trade(EXCHANGE, SYMBOL, now, now, "ws", str(now), price, size, side))

    def mark(self, price: str) -> None:
        now = self._now()
        self.event(MarkPrice(EXCHANGE, SYMBOL, now, now, "ws", price))

    def ticker(self, bid: str, ask: str) -> None:
        now = self._now()
        [(bid, bid_size)], [(ask, ask_size)] = _levels(bid), _levels(ask)
        self.event(Ticker(EXCHANGE, SYMBOL, now, now, "ws", bid, bid_size, ask, ask_size))

    # commands

    def command(self, command: Command) -> None:
        now = self._now()
        self.engine.on_command(command, now, self.engine.position + 1)

    def order(self, order_id: str, side: Any, order_type: Any, quantity: str | None = None, **more: Any) -> None:
        more.setdefault("symbol", SYMBOL)
        request = OrderRequest(
            id=order_id, exchange=EXCHANGE, side=side, order_type=order_type, quantity=quantity, **more
        )
        self.command(Submit(NAME, request))

    def market(self, order_id: str, side: Any, quantity: str | None = None, **more: Any) -> None:
        self.order(order_id, side, "market", quantity, **more)

    def limit(self, order_id: str, side: Any, quantity: str, price: str, **more: Any) -> None:
        self.order(order_id, side, "limit", quantity, price=price, **more)

    def stop(self, order_id: str, side: Any, quantity: str, stop_price: str, **more: Any) -> None:
        self.order(order_id, side, "stop_market", quantity, stop_price=stop_price, **more)

    def cancel(self, order_id: str) -> None:
        self.command(Cancel(NAME, order_id))

    def cancel_all(self) -> None:
        self.command(CancelAll(NAME))

    def amend(self, order_id: str, **changes: str) -> None:
        self.command(Amend(NAME, order_id, **changes))

    def halt(self, *, flatten: bool = False) -> None:
        self.command(Halt(NAME, flatten=flatten))

    def resume(self) -> None:
        self.command(Resume(NAME))

    # what came of it

    @property
    def portfolio(self) -> Portfolio:
        return self.engine.portfolios[NAME]

    @property
    def position(self) -> Position:
        return self.portfolio.desks[EXCHANGE, SYMBOL].position

    def fills(self, order_id: str | None = None) -> list[str]:
        """All fills, or those of one order, as "id size@price", those as maker with a trailing "m"."""
        return [
            f"{r.order} {r.quantity}@{r.price}" + (" m" if r.liquidity == "maker" else "")
            for r in self.engine.reports
            if isinstance(r, FillReport) and order_id in (None, r.order)
        ]

    def fees(self) -> list[str]:
        return [f"{r.fee} {r.fee_currency}" for r in self.engine.reports if isinstance(r, FillReport)]

    def state(self, order_id: str) -> str:
        """An order's last state as "STATUS filled/quantity reason"."""
        last = next(r for r in reversed(self.engine.reports) if isinstance(r, OrderReport) and r.id == order_id)
        return f"{last.status} {last.filled}/{last.quantity} {last.reason}".strip()

    def stop_of(self, order_id: str) -> str | None:
        last = next(r for r in reversed(self.engine.reports) if isinstance(r, OrderReport) and r.id == order_id)
        return last.stop_price

    def refused(self) -> list[str]:
        """Commands that were refused, as "id REASON"."""
        return [f"{r.id} {r.reason}" for r in self.engine.reports if isinstance(r, CommandRejected)]

    def balance(self, asset: str) -> str:
        """A balance as "total locked"."""
        balance = self.portfolio.ledger.balance(asset)
        return f"{money_text(balance.total)} {money_text(balance.locked)}"

    def equity(self) -> str:
        return money_text(self.portfolio.equity())


def _levels(text: str) -> list[tuple[str, str]]:
    levels = []
    for level in text.split():
        price, _, size = level.partition("*")
        levels.append((price, size))
    return levels
