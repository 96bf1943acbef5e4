"""What the commands of paper trading do, by name: from their arguments to the engine, and to an answer for people."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from bus.paper import CommandRejected, FillReport, OrderReport, PaperCommand, PortfolioReport
from handlers.paper.commands import Amend, Cancel, CancelAll, Command, Halt, Resume, Submit
from handlers.paper.desk import Desk
from handlers.paper.engine import Engine
from handlers.paper.orders import Order, OrderRequest
from handlers.paper.portfolio import Portfolio
from handlers.paper.service import wording
from handlers.paper.service.arguments import (
    Amending,
    Canceling,
    CancelingAll,
    Closing,
    Creating,
    Halting,
    OfPortfolio,
    Protecting,
    Submitting,
)

A = TypeVar("A")
Result: TypeAlias = dict[str, Any]
"""What a command comes to: `text` is a line for people, the rest is for programs."""


class Declined(Exception):
    """A command that is not done: `code` for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Tasks:
    """Carries out commands on the engine. `closed` holds the names of portfolios that are closed for good."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._now = 0
        self.closed: dict[str, None] = {}
        self._by_name: Final[Mapping[str, Callable[[Mapping[str, Any]], Result]]] = {
            "portfolio.create": self._typed(Creating, self._create),
            "portfolio.reset": self._typed(OfPortfolio, self._reset),
            "portfolio.close": self._typed(OfPortfolio, self._close),
            "order.submit": self._typed(Submitting, self._submit),
            "order.amend": self._typed(Amending, self._amend),
            "order.cancel": self._typed(Canceling, self._cancel),
            "order.cancel_all": self._typed(CancelingAll, self._cancel_all),
            "position.close": self._typed(Closing, self._close_position),
            "position.protect": self._typed(Protecting, self._protect),
            "trading.halt": self._typed(Halting, self._halt),
            "trading.resume": self._typed(OfPortfolio, self._resume),
        }

    def carry_out(self, command: PaperCommand, now: int) -> Result:
        """Do a command as of `now` (ns). Raises Declined."""
        if not command.expires:
            raise Declined("expired", "the command came too late and was not carried out")
        task = self._by_name.get(command.name)
        if task is None:
            raise Declined("unknown_command", f"paper trading knows no command {command.name}")
        self._now = now
        return task(command.args)

    def _typed(self, kind: type[A], task: Callable[[A], Result]) -> Callable[[Mapping[str, Any]], Result]:
        def run(args: Mapping[str, Any]) -> Result:
            try:
                arguments = msgspec.convert(args, kind)
            except msgspec.ValidationError as error:
                raise Declined("bad_arguments", str(error)) from None
            return task(arguments)

        return run

    # portfolios

    def _portfolio(self, name: str) -> Portfolio:
        """Return a portfolio by its name; without one, the only one there is. Raises Declined."""
        portfolios = self._engine.portfolios
        if name in portfolios:
            return portfolios[name]
        if not name and len(portfolios) == 1:
            return next(iter(portfolios.values()))
        if not portfolios:
            raise Declined("unknown_portfolio", "there is no portfolio yet: portfolio.create makes one")
        if not name:
            raise Declined("unknown_portfolio", f"say which portfolio: there are {', '.join(portfolios)}")
        raise Declined("unknown_portfolio", f"there is no portfolio '{name}'{_nearest(name, portfolios)}")

    def _create(self, arguments: Creating) -> Result:
        name = arguments.name
        if name in self._engine.portfolios or name in self.closed:
            raise Declined("exists", f"there is a portfolio '{name}' already, or has been: take another name")
        return self._open(arguments, "open")

    def _open(self, arguments: Creating, state: wording.Opened) -> Result:
        at = len(self._engine.reports)
        try:
            portfolio = self._engine.create(arguments.name, arguments.initial, arguments.settings)
        except ValueError as error:
            raise Declined("bad_arguments", str(error)) from None
        report = PortfolioReport(portfolio.name, self._now, state, portfolio.currency, portfolio.initial)
        self._engine.reports.insert(at, report)
        return {"text": wording.opened(report), "portfolio": portfolio.name, "currency": portfolio.currency}

    def _reset(self, arguments: OfPortfolio) -> Result:
        old = self._portfolio(arguments.portfolio)
        self._engine.remove(old.name)
        return self._open(Creating(old.name, old.initial, old.settings), "reset")

    def _close(self, arguments: OfPortfolio) -> Result:
        portfolio = self._portfolio(arguments.portfolio)
        for order_id in list(portfolio.open):
            portfolio.cancel(order_id)
        portfolio.report_balances()
        self._engine.remove(portfolio.name)
        self.closed[portfolio.name] = None
        report = PortfolioReport(portfolio.name, self._now, "closed", portfolio.currency, portfolio.initial)
        self._engine.reports.append(report)
        return {"text": f"{portfolio.name}: closed", "portfolio": portfolio.name}

    # orders

    def _do(self, command: Command) -> None:
        self._engine.on_command(command, self._now, self._engine.position + 1)

    def _exchange(self, name: str, symbol: str) -> str:
        """Return an exchange by name; without one, the only one on which a symbol can be traded. Raises Declined."""
        if name:
            return name
        found = [exchange for exchange, traded in self._engine.markets if traded == symbol]
        if len(found) > 1:
            raise Declined("unknown_symbol", f"say on which exchange: {symbol} is on {', '.join(found)}")
        if found:
            return found[0]
        known = {traded for _, traded in self._engine.markets}
        raise Declined("UNKNOWN_SYMBOL", f"{symbol} is not collected on any exchange{_nearest(symbol, known)}")

    def _submit(self, arguments: Submitting) -> Result:
        portfolio = self._portfolio(arguments.portfolio)
        order = arguments.order
        exchange = self._exchange(order.exchange, order.symbol)
        order = replace(order, id=order.id or self._free_id(portfolio), exchange=exchange)
        return self._place(portfolio, order)

    def _free_id(self, portfolio: Portfolio, prefix: str = "o") -> str:
        number = self._engine.position + 1
        while portfolio.known(f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    def _place(self, portfolio: Portfolio, order: OrderRequest) -> Result:
        at = len(self._engine.reports)
        self._do(Submit(portfolio.name, order))
        told = self._engine.reports[at:]
        self._answered(portfolio, order.id)
        states = [report for report in told if isinstance(report, OrderReport) and report.id == order.id]
        fills = [report for report in told if isinstance(report, FillReport) and report.order == order.id]
        if not states:
            return {"text": f"order {order.id} is on its way", "id": order.id, "portfolio": portfolio.name}
        if states[-1].status == "REJECTED":
            raise Declined(states[-1].reason, states[-1].message)
        market = self._engine.markets[order.exchange, order.symbol]
        legs = {r.id: r for r in told if isinstance(r, OrderReport) and r.id.startswith(f"{order.id}:")}
        return {
            "text": wording.placed(states[-1], fills, [*legs.values()], book=market.has_book),
            "portfolio": portfolio.name,
            "id": order.id,
            "order": msgspec.to_builtins(states[-1]),
            "fills": msgspec.to_builtins(fills),
            "legs": msgspec.to_builtins([*legs.values()]),
            "depth": "book" if market.has_book else "ticker",
        }

    def _answered(self, portfolio: Portfolio, order_id: str) -> None:
        """Raise Declined where the engine's last word on an order is that the command could not be done."""
        last = next((r for r in reversed(self._engine.reports) if isinstance(r, CommandRejected)), None)
        if last is not None and (last.portfolio, last.id) == (portfolio.name, order_id):
            raise Declined(last.reason, last.message)

    def _amend(self, arguments: Amending) -> Result:
        portfolio = self._portfolio(arguments.portfolio)
        self._do(Amend(portfolio.name, arguments.id, arguments.quantity, arguments.price, arguments.stop_price))
        return self._changed(portfolio, arguments.id)

    def _cancel(self, arguments: Canceling) -> Result:
        portfolio = self._portfolio(arguments.portfolio)
        self._do(Cancel(portfolio.name, arguments.id))
        return self._changed(portfolio, arguments.id)

    def _changed(self, portfolio: Portfolio, order_id: str) -> Result:
        self._answered(portfolio, order_id)
        states = [r for r in self._engine.reports if isinstance(r, OrderReport) and r.id == order_id]
        text = wording.state(states[-1]) if states else f"order {order_id}: nothing to change, or on its way"
        order = msgspec.to_builtins(states[-1]) if states else None
        return {"text": text, "portfolio": portfolio.name, "id": order_id, "order": order}

    def _cancel_all(self, arguments: CancelingAll) -> Result:
        portfolio = self._portfolio(arguments.portfolio)
        self._do(CancelAll(portfolio.name, arguments.exchange or None, arguments.symbol or None))
        canceled = [r.id for r in self._engine.reports if isinstance(r, OrderReport) and r.status == "CANCELED"]
        return {"text": wording.count(len(canceled), "canceled"), "portfolio": portfolio.name, "ids": canceled}

    # positions

    def _held(self, portfolio: Portfolio, exchange: str, symbol: str) -> tuple[Desk, str]:
        """Return where a position is held and its quantity in whole lots. Raises Declined where there is none."""
        desk = portfolio.desks.get((self._exchange(exchange, symbol), symbol))
        if desk is not None:
            instrument = desk.market.instrument
            size = desk.position.base // instrument.base_unit // instrument.step * instrument.step
            if size > 0:
                return desk, instrument.size_text(size)
        raise Declined("no_position", f"{portfolio.name} holds no {symbol}")

    def _close_position(self, arguments: Closing) -> Result:
        """Cancel a symbol's orders, which reserve what is held, and sell it at market."""
        portfolio = self._portfolio(arguments.portfolio)
        desk, quantity = self._held(portfolio, arguments.exchange, arguments.symbol)
        exchange, symbol = desk.market.instrument.exchange, arguments.symbol
        self._do(CancelAll(portfolio.name, exchange, symbol))
        order_id = self._free_id(portfolio, "close")
        return self._place(
            portfolio,
            OrderRequest(
                id=order_id, exchange=exchange, symbol=symbol, side="sell", order_type="market", quantity=quantity
            ),
        )

    def _protect(self, arguments: Protecting) -> Result:
        """Put a stop-loss and a take-profit around a position; they take the place of earlier ones."""
        portfolio = self._portfolio(arguments.portfolio)
        desk, quantity = self._held(portfolio, arguments.exchange, arguments.symbol)
        orders = [order for order, where in portfolio.open.values() if where is desk]
        earlier = [order for order in orders if order.id.startswith("protect")]
        group = self._free_id(portfolio, "protect")
        before = [_again(desk, order, f"{group}:before") for order in earlier]
        for order in earlier:  # they reserve what the new ones sell
            self._do(Cancel(portfolio.name, order.id))
        wanted = _protection(desk, quantity, arguments.stop_loss, arguments.take_profit, group)
        try:
            placed = self._place_all(portfolio, wanted)
        except Declined as declined:
            if not before:
                raise
            self._place_all(portfolio, before)
            raise Declined(declined.code, f"{declined}; the earlier protection stands") from None
        text = "; ".join(result["text"] for result in placed)
        return {"text": text, "portfolio": portfolio.name, "ids": [result["id"] for result in placed]}

    def _place_all(self, portfolio: Portfolio, orders: Sequence[OrderRequest]) -> list[Result]:
        """Place orders, all of them or none. Raises Declined."""
        placed: list[Result] = []
        try:
            placed += (self._place(portfolio, order) for order in orders)
        except Declined:
            for order in orders:
                if order.id in portfolio.open:
                    self._do(Cancel(portfolio.name, order.id))
            raise
        return placed

    # the kill switch

    def _halt(self, arguments: Halting) -> Result:
        """Halt one portfolio, or with none named all of them and those still to come."""
        if not arguments.portfolio:
            self._engine.halted = arguments.cause
        names = self._named(arguments.portfolio)
        for name in names:
            self._do(Halt(name, flatten=arguments.flatten, cause=arguments.cause))
        return {"text": wording.halted(names, flatten=arguments.flatten), "portfolios": names}

    def _resume(self, arguments: OfPortfolio) -> Result:
        if not arguments.portfolio:
            self._engine.halted = None
        names = self._named(arguments.portfolio)
        for name in names:
            self._do(Resume(name))
        return {"text": f"trading resumes in {', '.join(names) or 'every portfolio to come'}", "portfolios": names}

    def _named(self, name: str) -> list[str]:
        return [self._portfolio(name).name] if name else list(self._engine.portfolios)


def _protection(
    desk: Desk, quantity: str, stop_loss: str | None, take_profit: str | None, group: str
) -> list[OrderRequest]:
    """Return the orders that sell a position at these prices; what one of them sells, the others no longer do."""
    instrument = desk.market.instrument
    order = OrderRequest(
        id="", exchange=instrument.exchange, symbol=instrument.spec.symbol, side="sell", order_type="limit",
        quantity=quantity, reduce_only=True, ouo=group,
    )  # fmt: skip
    orders: list[OrderRequest] = []
    if stop_loss:
        orders.append(replace(order, id=f"{group}:sl", order_type="stop_market", stop_price=stop_loss))
    if take_profit:
        orders.append(replace(order, id=f"{group}:tp", price=take_profit))
    return orders


def _again(desk: Desk, order: Order, group: str) -> OrderRequest:
    """Ask once more for what is left of an order of a position's protection."""
    instrument = desk.market.instrument
    stop, price = (None if at is None else instrument.price_text(at) for at in (order.stop, order.price))
    (again,) = _protection(desk, instrument.size_text(order.leaves), stop, price, group)
    return again


def _nearest(word: str, known: "Mapping[str, Any] | set[str]") -> str:
    """Name the closest of what is known, or all of it where nothing comes close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.55)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known)) or 'none'}"
