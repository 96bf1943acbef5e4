"""One account: what it owns, its open orders, how it is set, and what it has told of itself."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from bus.clock import SECOND
from bus.paper import AnyPaperReport, BalanceReport, TradingHalted
from handlers.paper import units
from handlers.paper.account import Ledger
from handlers.paper.orders import Order
from handlers.paper.settings import Settings
from handlers.paper.stats import DAY, Record, Statistics

if TYPE_CHECKING:
    from handlers.paper.desk import Desk

FINISHED_KEPT: Final = 10_000
"""At least so many ids of ended orders are remembered, and at most twice as many: none of them is used again."""
INITIAL_DECIMALS: Final = 12


class Limits:
    """Risk limits in integers; None where there is none."""

    def __init__(self, settings: Settings) -> None:
        risk = settings.risk
        self.order_notional = _money(risk.max_order_notional)
        self.position_notional = _money(risk.max_position_notional)
        self.daily_loss = _money(risk.max_daily_loss)
        self.drawdown = None if risk.max_drawdown is None else units.rate(risk.max_drawdown)
        self.open_orders = risk.max_open_orders
        self.orders_per_second = risk.max_orders_per_second
        self.halting = self.daily_loss is not None or self.drawdown is not None


class EngineClock:
    """The time of what is being handled (ns), on the clock of the market events; it never goes back."""

    __slots__ = ("now",)

    def __init__(self, now: int = 0) -> None:
        self.now = now


class Portfolio:
    """An account of one currency, the first of `initial`: all that it trades is quoted in that.

    What it starts with of other assets counts at the first price at which it is marked or traded. Raises ValueError
    for amounts or settings that are none.
    """

    def __init__(
        self,
        name: str,
        initial: Mapping[str, str],
        settings: Settings,
        reports: list[AnyPaperReport],
        clock: EngineClock,
    ) -> None:
        settings.check()
        if not initial:
            raise ValueError("a portfolio needs something to start with, such as 10000 USDT")
        self.name = name
        self.initial = dict(initial)
        self.settings = settings
        self.reports = reports
        self.clock = clock
        self.currency = next(iter(initial))
        self.ledger = Ledger()
        self.unpriced: dict[str, int] = {}
        for asset, text in initial.items():
            amount = units.parse(text, INITIAL_DECIMALS) * 10 ** (units.MONEY_DECIMALS - INITIAL_DECIMALS)
            if amount < 0:
                raise ValueError(f"{asset}: cannot start with less than nothing")
            self.ledger.move(asset, amount)
            if asset != self.currency and amount:
                self.unpriced[asset] = amount
        self.invested = self.ledger.balance(self.currency).total
        self.record = Record(self.invested, self.invested, self.invested, self.invested, self.invested)
        self.maker = units.rate(settings.fees.maker)
        self.taker = units.rate(settings.fees.taker)
        self.received = settings.fees.currency == "received"
        self.reserved_rate = units.RATE_ONE + (0 if self.received else max(self.maker, self.taker))
        self.limits = Limits(settings)
        self.desks: dict[tuple[str, str], Desk] = {}
        self.open: dict[str, tuple[Order, Desk]] = {}
        self.finished: set[str] = set()
        self.finished_before: set[str] = set()
        """Ids of ended orders; when the first set is full the second is forgotten, which costs nothing per order."""
        self.order_times: deque[int] = deque(maxlen=self.limits.orders_per_second or 1)
        self.dirty: dict[Desk, None] = {}
        """Desks whose position changed since the last settling."""
        self.unprotected: dict[str, tuple[Order, Desk]] = {}
        """Orders with a take-profit or stop-loss that were filled since the last settling."""
        self.seq = 0
        self.value = 0
        """What the desks' positions are worth at their marks."""
        self.halted: str | None = None
        """Why trading is halted, None while it is not."""
        self.guard_day = 0
        self.guard_base = self.guard_high = self.invested
        """The equity from which the daily loss, and the one from which the drawdown, counts for the risk limits."""

    def next_seq(self) -> int:
        """Return the next place in time."""
        self.seq += 1
        return self.seq

    def known(self, order_id: str) -> bool:
        """Whether an id has been used."""
        return order_id in self.open or order_id in self.finished or order_id in self.finished_before

    def ended(self, order_id: str) -> None:
        """Remember the id of an order that has ended."""
        self.open.pop(order_id, None)
        self.finished.add(order_id)
        if len(self.finished) >= FINISHED_KEPT:
            self.finished_before, self.finished = self.finished, set()

    def cancel(self, order_id: str) -> None:
        """Cancel an order, unless it has ended: cancelling one of a group may have ended others."""
        if order_id in self.open:
            order, desk = self.open[order_id]
            desk.finish(order, "CANCELED")

    def equity(self) -> int:
        """Return all balances at their marks, in money units of the currency."""
        return self.ledger.balance(self.currency).total + self.value

    def see(self) -> None:
        """Take the present equity into the record."""
        now, equity = self.clock.now, self.equity()
        day = now // DAY
        if day != self.guard_day:
            self.guard_day, self.guard_base = day, self.record.equity
        self.guard_high = max(self.guard_high, equity)
        self.record.see(equity, now, exposed=any(desk.position.base for desk in self.desks.values()))

    def statistics(self) -> Statistics:
        """Work the statistics out as of now."""
        self.see()
        return self.record.statistics(sum(desk.position.fees for desk in self.desks.values()))

    def breach(self) -> str:
        """Return the limit by which trading has to be halted, empty while there is none."""
        limits, equity = self.limits, self.record.equity
        if limits.daily_loss is not None and self.guard_base - equity >= limits.daily_loss:
            return "max_daily_loss"
        fall = self.guard_high - equity
        if limits.drawdown is not None and fall * units.RATE_ONE >= limits.drawdown * self.guard_high:
            return "max_drawdown"
        return ""

    def too_fast(self) -> bool:
        """Whether one order more within this second is too many; counts it when it is not."""
        rate, now = self.limits.orders_per_second, self.clock.now
        if rate is None:
            return False
        if len(self.order_times) == rate and self.order_times[0] > now - SECOND:
            return True
        self.order_times.append(now)
        return False

    def halt(self, cause: str) -> None:
        """Refuse new orders from now on, until `resume`."""
        if self.halted is None:
            self.halted = cause
            self.reports.append(TradingHalted(self.name, self.clock.now, halted=True, cause=cause))

    def resume(self) -> None:
        """Accept orders again; losses and drawdown count from here, or the same limit would halt at once again."""
        if self.halted is not None:
            self.halted = None
            self.guard_base = self.guard_high = self.record.equity
            self.reports.append(TradingHalted(self.name, self.clock.now, halted=False, cause="resumed"))

    def report_balances(self) -> None:
        """Tell the balances that changed."""
        for asset in self.ledger.touched:
            balance = self.ledger.balance(asset)
            total, locked = units.money_text(balance.total), units.money_text(balance.locked)
            self.reports.append(BalanceReport(self.name, self.clock.now, asset, total, locked))
        self.ledger.touched.clear()


def _money(text: str | None) -> int | None:
    return None if text is None else units.money(text)
