"""The matching engine: market events and commands in, reports out. No I/O, no clock of its own, no chance.

Time is that of its inputs, integer nanoseconds; it never goes back. What comes again changes nothing: events are told
by their receive time, which rises with every frame of an exchange, or by their ids, and commands by their position.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final

from bus.paper import AnyPaperReport, CommandRejected, OrderReport, Reason
from handlers.paper import halting
from handlers.paper.amend import amend
from handlers.paper.brackets import protect, reject
from handlers.paper.commands import Amend, Cancel, CancelAll, Command, Halt, InFlight, Resume, Submit, Travelling
from handlers.paper.compile import Refused, compile_order
from handlers.paper.desk import Desk
from handlers.paper.instrument import Instrument
from handlers.paper.market import Market, Tradable
from handlers.paper.orders import OrderRequest
from handlers.paper.placing import place
from handlers.paper.portfolio import EngineClock, Portfolio
from handlers.paper.reactions import react
from handlers.paper.settings import Settings

ENDED_EXPIRIES: Final = 1_000
"""Expiries kept of orders that have ended, over those of open ones."""


class Engine:
    """All portfolios and the markets that they trade on. `reports` grows; whoever drives the engine takes it over."""

    def __init__(self) -> None:
        self.reports: list[AnyPaperReport] = []
        self.clock = EngineClock()
        self.markets: dict[tuple[str, str], Market] = {}
        self.portfolios: dict[str, Portfolio] = {}
        self.position = 0
        """The position of the last command."""
        self.halted: str | None = None
        """Why trading is halted altogether: portfolios that are created meanwhile begin halted."""
        self.serial = 0
        self.flight: list[InFlight] = []
        self.expiries: list[tuple[int, str, str]] = []
        """When which order of which portfolio expires; some of them may have ended before."""

    def list_instrument(self, instrument: Instrument) -> None:
        """Make a symbol tradable; known already, it stays as it is."""
        key = (instrument.exchange, instrument.spec.symbol)
        if key not in self.markets:
            self.markets[key] = Market(instrument)

    def create(self, name: str, initial: Mapping[str, str], settings: Settings) -> Portfolio:
        """Open a portfolio. Raises ValueError for settings or amounts that are none."""
        portfolio = Portfolio(name, initial, settings, self.reports, self.clock)
        self.portfolios[name] = portfolio
        for market in self.markets.values():
            if market.instrument.spec.base in portfolio.unpriced:
                self.desk(portfolio, market).revalue()
        portfolio.see()
        portfolio.report_balances()
        if self.halted is not None:
            portfolio.halt(self.halted)
        return portfolio

    def remove(self, name: str) -> None:
        """Close a portfolio for good, and forget what is on its way for it: another may take its name."""
        portfolio = self.portfolios.pop(name)
        for desk in portfolio.desks.values():
            desk.market.desks.remove(desk)
        self.flight = sorted(item for item in self.flight if item.command.portfolio != name)
        self.expiries = sorted(item for item in self.expiries if item[1] != name)

    def desk(self, portfolio: Portfolio, market: Market) -> Desk:
        """Return a portfolio's desk on a market, opened when it is first needed."""
        key = (market.instrument.exchange, market.instrument.spec.symbol)
        found = portfolio.desks.get(key)
        if found is None:
            found = portfolio.desks[key] = Desk(portfolio, market)
            market.desks.append(found)
        return found

    # events

    def on_event(self, event: Tradable) -> bool:
        """Let a market event take effect; return whether it is of any use here, and new.

        Raises ValueError, with the market as it was, for numbers that are none.

        History that is healed later is not traded on: it has happened before orders that are open now.
        """
        market = self.markets.get((event.exchange, event.symbol))
        if market is None or event.source == "backfill" or market.is_again(event):
            return False
        self.advance(event.recv)
        react(market, event)
        market.remember(event)
        for desk in market.desks:
            if desk.portfolio.ledger.touched:
                self._settle(desk.portfolio)
        return True

    # time

    def advance(self, now: int) -> None:
        """Let time pass: orders expire up to and at `now`, commands on their way arrive before it."""
        clock = self.clock
        if (self.flight and self.flight[0].due < now) or (self.expiries and self.expiries[0][0] <= now):
            self._pass_until(now)
        clock.now = max(clock.now, now)

    def _pass_until(self, now: int) -> None:
        while True:
            arrives = self.flight[0].due if self.flight else now
            expires = self.expiries[0][0] if self.expiries else now + 1
            if expires <= min(arrives, now):
                due, name, order_id = heappop(self.expiries)
                self.clock.now = max(self.clock.now, due)
                self._expire(name, order_id)
            elif arrives < now:
                item = heappop(self.flight)
                self.clock.now = max(self.clock.now, item.due)
                self._arrive(item.command)
            else:
                return

    def _expire(self, name: str, order_id: str) -> None:
        portfolio = self.portfolios.get(name)
        if portfolio is not None and order_id in portfolio.open:
            order, desk = portfolio.open[order_id]
            desk.finish(order, "EXPIRED")
            self._settle(portfolio)

    # commands

    def on_command(self, command: Command, now: int, position: int) -> None:
        """Take in a command for a portfolio that exists: at once, or to arrive when its latency has passed.

        A command at or before the last position has been done already.
        """
        if position <= self.position:
            return
        self.position = position
        self.advance(now)
        portfolio = self.portfolios[command.portfolio]
        if isinstance(command, Halt):
            halting.halt(portfolio, command)
            self._settle(portfolio)
        elif isinstance(command, Resume):
            portfolio.resume()
        else:
            self.serial += 1
            delay = portfolio.settings.latency.of(self.serial, submit=isinstance(command, Submit))
            if delay:
                heappush(self.flight, InFlight(now + delay, self.serial, command))
            else:
                self._arrive(command)

    def _arrive(self, command: Travelling) -> None:
        portfolio = self.portfolios[command.portfolio]
        if isinstance(command, Submit):
            self._submit(portfolio, command.order)
        elif isinstance(command, CancelAll):
            for order, desk in list(portfolio.open.values()):
                at = desk.market.instrument
                if command.symbol in (None, at.spec.symbol) and command.exchange in (None, at.exchange):
                    portfolio.cancel(order.id)
        elif command.id not in portfolio.open:
            self._answer(portfolio, command.id, "UNKNOWN_ORDER", f"no open order has the id {command.id}")
        elif isinstance(command, Cancel):
            portfolio.cancel(command.id)
        else:
            self._amend(portfolio, command)
        self._settle(portfolio)

    def _amend(self, portfolio: Portfolio, command: Amend) -> None:
        order, desk = portfolio.open[command.id]
        try:
            amend(desk, order, command)
        except Refused as refused:
            self._answer(portfolio, order.id, refused.reason, refused.message)

    def _submit(self, portfolio: Portfolio, request: OrderRequest) -> None:
        if portfolio.known(request.id):
            self._answer(portfolio, request.id, "DUPLICATE_ORDER_ID", f"the id {request.id} has been used")
            return
        try:
            market = self._market(portfolio, request)
            order = compile_order(request, market, portfolio.settings, portfolio.next_seq())
        except Refused as refused:
            self._refuse(portfolio, request, refused)
            return
        desk = self.desk(portfolio, market)
        try:
            place(desk, order)
        except Refused as refused:
            reject(desk, order, refused)
        if order.open and order.expire is not None:
            self._expect(order.expire, portfolio.name, order.id)

    def _expect(self, expire: int, portfolio: str, order_id: str) -> None:
        """Let an order expire in time. Those that have ended before are forgotten when they are the most."""
        heappush(self.expiries, (expire, portfolio, order_id))
        if len(self.expiries) > ENDED_EXPIRIES + 2 * sum(len(known.open) for known in self.portfolios.values()):
            self.expiries = sorted(
                (due, name, ended)
                for due, name, ended in self.expiries
                if name in self.portfolios and ended in self.portfolios[name].open
            )

    def _market(self, portfolio: Portfolio, request: OrderRequest) -> Market:
        market = self.markets.get((request.exchange, request.symbol))
        if market is None:
            raise Refused("UNKNOWN_SYMBOL", f"{request.symbol} is not known to be traded on {request.exchange}")
        quote = market.instrument.spec.quote
        if quote != portfolio.currency:
            message = f"{request.symbol} is paid in {quote}, the portfolio counts in {portfolio.currency}"
            raise Refused("UNKNOWN_SYMBOL", message)
        return market

    def _answer(self, portfolio: Portfolio, order_id: str, reason: Reason, message: str) -> None:
        self.reports.append(CommandRejected(portfolio.name, self.clock.now, order_id, reason, message))

    def _refuse(self, portfolio: Portfolio, request: OrderRequest, refused: Refused) -> None:
        """Tell that an order was refused before it could be read as numbers."""
        portfolio.ended(request.id)
        self.reports.append(
            OrderReport(
                portfolio.name,
                self.clock.now,
                request.exchange,
                request.symbol,
                request.id,
                request.side,
                request.order_type,
                "REJECTED",
                request.quantity or "0",
                "0",
                request.price,
                request.stop_price,
                refused.reason,
                refused.message,
            )
        )

    def _settle(self, portfolio: Portfolio) -> None:
        """After something has happened to a portfolio: protect what it bought, value it, look at its limits, tell."""
        while portfolio.unprotected:
            order, desk = portfolio.unprotected.pop(next(iter(portfolio.unprotected)))
            if portfolio.halted is None:
                protect(desk, order)
        dirty = list(portfolio.dirty)
        portfolio.dirty.clear()
        for desk in dirty:
            desk.revalue()
            desk.report_position()
        if dirty:
            portfolio.see()
            halting.guard(portfolio)
        portfolio.report_balances()
