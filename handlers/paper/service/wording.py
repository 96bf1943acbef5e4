"""What came of a command, as one line for people."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

from bus.paper import FillReport, OrderReport, PortfolioReport

Opened: TypeAlias = Literal["open", "reset"]
_DONE = {"buy": "bought", "sell": "sold"}


def opened(report: PortfolioReport) -> str:
    """Say what a portfolio begins with."""
    amounts = ", ".join(f"{amount} {asset}" for asset, amount in report.initial.items())
    return f"{report.portfolio}: {'begins anew' if report.state == 'reset' else 'opened'} with {amounts}"


def placed(order: OrderReport, fills: Sequence[FillReport], legs: Sequence[OrderReport], *, book: bool) -> str:
    """Say what was executed at once, and what became of the rest and of its take-profit and stop-loss."""
    parts = [executed(order, fills)] if fills else []
    if order.status != "FILLED":
        parts.append(state(order))
    parts += [f"{leg.id}: {state(leg)}" for leg in legs]
    if not book:
        parts.append("best prices only: no order book of this symbol is collected")
    return f"{'; '.join(parts)} (order {order.id})"


def executed(order: OrderReport, fills: Sequence[FillReport]) -> str:
    """Say how much went at which average price, for which fee."""
    quantity = sum((Decimal(fill.quantity) for fill in fills), Decimal(0))
    paid = sum((Decimal(fill.quantity) * Decimal(fill.price) for fill in fills), Decimal(0))
    fee = sum((Decimal(fill.fee) for fill in fills), Decimal(0))
    average = plain(fills[0].price) if len(fills) == 1 else f"{plain(round(paid / quantity, 8))} on average"
    return (
        f"{_DONE[order.side]} {plain(quantity)} {order.symbol} at {average}, fee {plain(fee)} {fills[0].fee_currency}"
    )


def state(order: OrderReport) -> str:
    """Say how an order stands."""
    what = f"{order.side} {plain(order.quantity)} {order.symbol} {order.order_type.replace('_', ' ')}"
    prices = "".join(
        f" {word} {plain(price)}" for word, price in (("at", order.price), ("stop", order.stop_price)) if price
    )
    filled = f", {plain(order.filled)} filled" if Decimal(order.filled) else ""
    why = f": {order.message or order.reason}" if order.message or order.reason else ""
    return f"{what}{prices} is {order.status.lower().replace('_', ' ')}{filled}{why}"


def halted(portfolios: Sequence[str], *, flatten: bool) -> str:
    """Say that the kill switch is pulled."""
    what = "orders are canceled, positions sold" if flatten else "orders are canceled"
    return f"trading is halted in {', '.join(portfolios) or 'every portfolio to come'}: {what}"


def count(number: int, what: str) -> str:
    """Say how many orders it were."""
    return f"{number} order{'s' * (number != 1)} {what}"


def plain(value: str | Decimal) -> str:
    """Write a number without exponent or superfluous zeros."""
    return f"{Decimal(value).normalize():f}"
