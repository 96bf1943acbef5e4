"""How a portfolio has done: round trips, drawdown on marked equity, daily returns (rule 17)."""

from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

from bus.clock import SECOND
from handlers.paper.units import money_text

DAY: Final = 86_400 * SECOND
DAYS_A_YEAR: Final = 365
"""Crypto markets do not close; Sharpe and Sortino are of daily returns, annualised."""
TRIPS_KEPT: Final = 1_000
"""Round trips whose result is kept one by one; all of them are in the sums."""
_SIX: Final = Decimal("0.000001")


class Statistics(msgspec.Struct, frozen=True):
    """What `performance` tells; ratios with six decimals, None where there is nothing to divide by.

    A round trip goes from flat to flat, net of all its fees. `max_drawdown_abs` fell from `peak_equity` to
    `trough_equity`. Sharpe and Sortino are of the returns of whole UTC days (`period`), annualised with 365 of them
    and a riskless rate of 0. `exposure` is the share of time with a position.
    """

    round_trips: int
    round_trip_net: list[Decimal]
    wins: int
    win_rate_dec: Decimal | None
    profit_factor_dec: Decimal | None
    expectancy: Decimal | None
    average_win: Decimal | None
    average_loss: Decimal | None
    peak_equity: Decimal
    trough_equity: Decimal
    max_drawdown_abs: Decimal
    max_drawdown_pct: Decimal
    sharpe: Decimal | None
    sortino: Decimal | None
    period: str
    exposure: Decimal | None
    fees_paid: Decimal


class Record(msgspec.Struct, eq=False):
    """What the statistics are computed from, in money units and ns; grows by a number a day and no more."""

    first: int
    equity: int
    high: int
    peak: int
    trough: int
    worst_share: tuple[int, int] = (0, 1)
    trips: int = 0
    wins: int = 0
    won: int = 0
    lost: int = 0
    nets: list[int] = []
    days: list[int] = []
    began: int | None = None
    seen: int = 0
    exposed: int = 0
    in_market: bool = False

    def begin_with(self, worth: int) -> None:
        """Count something that was owned from the start, whose worth is known only now."""
        self.first += worth
        self.equity += worth
        self.high += worth
        self.peak += worth
        self.trough += worth
        self.days = [equity + worth for equity in self.days]

    def see(self, equity: int, now: int, *, exposed: bool) -> None:
        """Take in the marked equity as of `now`."""
        if self.began is None:
            self.began = self.seen = now
        if now > self.seen:
            self.days += [self.equity] * (now // DAY - self.seen // DAY)
            self.exposed += (now - self.seen) * self.in_market
            self.seen = now
        self.in_market = exposed
        self.equity = equity
        if equity > self.high:
            self.high = equity
            return
        fall = self.high - equity
        if fall > self.peak - self.trough:
            self.peak, self.trough = self.high, equity
        if self.high > 0 and fall * self.worst_share[1] > self.worst_share[0] * self.high:
            self.worst_share = (fall, self.high)

    def close_trip(self, net: int) -> None:
        """A position is flat again: count what it brought."""
        self.trips += 1
        if net > 0:
            self.wins += 1
            self.won += net
        else:
            self.lost -= net
        self.nets.append(net)
        del self.nets[:-TRIPS_KEPT]

    def statistics(self, fees: int) -> Statistics:
        """Work the statistics out."""
        losses = self.trips - self.wins
        sharpe, sortino = _ratios([self.first, *self.days])
        fell = self.peak > self.trough
        time = self.seen - (self.began or 0)
        return Statistics(
            round_trips=self.trips,
            round_trip_net=[_money(net) for net in self.nets],
            wins=self.wins,
            win_rate_dec=_ratio(self.wins, self.trips),
            profit_factor_dec=_ratio(self.won, self.lost),
            expectancy=_money((self.won - self.lost) // self.trips) if self.trips else None,
            average_win=_money(self.won // self.wins) if self.wins else None,
            average_loss=_money(self.lost // losses) if losses else None,
            peak_equity=_money(self.peak if fell else self.high),
            trough_equity=_money(self.trough if fell else self.high),
            max_drawdown_abs=_money(self.peak - self.trough),
            max_drawdown_pct=_ratio(self.worst_share[0] * 100, self.worst_share[1]) or Decimal(0),
            sharpe=sharpe,
            sortino=sortino,
            period="1d",
            exposure=_ratio(self.exposed, time),
            fees_paid=_money(fees),
        )


def _money(value: int) -> Decimal:
    return Decimal(money_text(value))


def _ratio(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / Decimal(whole)).quantize(_SIX) if whole else None


def _ratios(equities: list[int]) -> tuple[Decimal | None, Decimal | None]:
    """Return Sharpe and Sortino of the returns between daily equities."""
    returns = [Decimal(b - a) / Decimal(a) for a, b in pairwise(equities) if a > 0]
    if len(returns) < 2:  # noqa: PLR2004 # a deviation needs two
        return None, None
    mean = sum(returns, Decimal(0)) / len(returns)
    variance = sum(((r - mean) ** 2 for r in returns), Decimal(0)) / (len(returns) - 1)
    downside = sum((min(r, Decimal(0)) ** 2 for r in returns), Decimal(0)) / len(returns)
    year = Decimal(DAYS_A_YEAR).sqrt()
    sharpe = (mean / variance.sqrt() * year).quantize(_SIX) if variance else None
    sortino = (mean / downside.sqrt() * year).quantize(_SIX) if downside else None
    return sharpe, sortino
