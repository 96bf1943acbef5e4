"""What must hold of every portfolio between two inputs, checked while it runs; a breach is counted and told once."""

from collections.abc import Iterator

import structlog

from bus import metrics
from handlers.paper.engine import Engine
from handlers.paper.portfolio import Portfolio

log = structlog.get_logger(__name__)


def check(engine: Engine) -> None:
    """Count and log every rule that a portfolio breaks."""
    for portfolio in engine.portfolios.values():
        for invariant, detail in broken(portfolio):
            metrics.PAPER_VIOLATIONS.labels(invariant).inc()
            log.error("paper trading breaks a rule", portfolio=portfolio.name, invariant=invariant, detail=detail)


def broken(portfolio: Portfolio) -> Iterator[tuple[str, str]]:
    """Yield the name of each rule that does not hold, with its numbers (money units)."""
    reserved = _reserved(portfolio)
    held = dict(portfolio.unpriced)
    for desk in portfolio.desks.values():
        base = desk.market.instrument.spec.base
        held[base] = held.get(base, 0) + desk.position.base
    for asset, balance in portfolio.ledger.balances.items():
        if not 0 <= balance.locked <= balance.total:
            yield "locked_within_total", f"{asset}: {balance.locked} of {balance.total}"
        if balance.locked != reserved.get(asset, 0):
            yield "locked_is_reserved", f"{asset}: {balance.locked}, orders reserve {reserved.get(asset, 0)}"
        if asset != portfolio.currency and balance.total != held.get(asset, 0):
            yield "positions_are_balances", f"{asset}: {balance.total}, positions {held.get(asset, 0)}"
    positions = [(desk.value, desk.position) for desk in portfolio.desks.values()]
    result = sum(value - of.cost + of.realized - of.fees for value, of in positions)
    if portfolio.equity() != portfolio.invested + result:
        yield "equity", f"{portfolio.equity()}, initial with results {portfolio.invested + result}"


def _reserved(portfolio: Portfolio) -> dict[str, int]:
    """Return what open orders hold back of each asset; a group holds the most that one of its sides needs."""
    alone: dict[str, int] = {}
    groups: dict[tuple[str, bool], tuple[str, int]] = {}
    for order, desk in portfolio.open.values():
        asset = desk.asset(order)
        if order.group is None:
            alone[asset] = alone.get(asset, 0) + order.reserved
        else:
            key = (order.group, order.buy)
            groups[key] = (asset, max(order.reserved, groups.get(key, ("", 0))[1]))
    for asset, most in groups.values():
        alone[asset] = alone.get(asset, 0) + most
    return alone
