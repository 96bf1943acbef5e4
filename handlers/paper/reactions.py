"""What market events do to our open orders (rules 3 to 9)."""

from typing import Final

from bus.events import Book, MarkPrice, Ticker, Trade
from handlers.paper.book import BookSide
from handlers.paper.desk import Desk
from handlers.paper.fills import fill
from handlers.paper.halting import guard
from handlers.paper.market import Market, Print, Tradable
from handlers.paper.placing import fire
from handlers.paper.queues import RestingSide
from handlers.paper.triggers import Watch

_REDUCED: Final = "there is nothing left to reduce"


def react(market: Market, event: Tradable) -> None:
    """Let all who trade on a market meet an event, then value what they hold. Raises ValueError for no numbers."""
    if type(event) is Trade:
        trade = market.trade(event)
        for desk in market.desks:
            on_print(desk, trade)
    elif type(event) is Book:
        _levels(market, *market.book(event))
    elif type(event) is Ticker:
        _levels(market, *market.ticker(event))
    elif type(event) is MarkPrice and market.mark_price(event):
        _marked(market)
    if market.mark_to_book():
        _marked(market)


def _levels(market: Market, bids: list[int], asks: list[int]) -> None:
    """Levels have changed: renew what was taken there, shorten queues, then fill what the other side reaches."""
    if bids or asks:
        for desk in market.desks:
            on_levels(desk, market.bids, bids)
            on_levels(desk, market.asks, asks)
            on_book(desk)


def _marked(market: Market) -> None:
    """The mark has moved: value positions anew, and fire the stops that watch it."""
    for desk in market.desks:
        portfolio = desk.portfolio
        if desk.position.base or portfolio.unpriced:
            desk.revalue()
            portfolio.see()
            guard(portfolio)
        on_mark(desk)


def on_print(desk: Desk, trade: Print) -> None:
    """A trade print: fill our orders at better prices, then those at its price once their queue is used up.

    One print is shared in price-time order.
    """
    price, size, sold, gone = trade
    own = desk.buys if sold else desk.sells
    key = price if sold else -price
    if own.keys and own.keys[-1] >= key:
        left = _through(desk, own, key, size)
        _at(desk, own, key, price, left)
    watch = desk.watches["last"]
    if watch:
        _watch(desk, watch, price)
    if gone:
        on_levels(desk, desk.market.bids if sold else desk.market.asks, gone)
        on_book(desk)


def _through(desk: Desk, own: RestingSide, key: int, left: int) -> int:
    """Fill orders that the print went through, each at its own price; return what is left of the print."""
    if own.keys[-1] > key:
        own.through(key)
    while left and own.keys and own.keys[-1] > key:
        order = own.queues[own.keys[-1]].first()
        size = min(left, desk.fillable(order))
        if size:
            left -= size
            fill(desk, order, order.price or 0, size, "maker")
        else:
            desk.finish(order, "CANCELED", "REDUCE_ONLY", _REDUCED)
    return left


def _at(desk: Desk, own: RestingSide, key: int, price: int, left: int) -> None:
    """Use up the queue at the print's price, ours included, from its front."""
    while (queue := own.queues.get(key)) is not None:
        left = queue.advance(left)
        if not left:
            return
        order = queue.first()
        size = min(left, desk.fillable(order))
        if size:
            left -= size
            fill(desk, order, price, size, "maker")
        else:
            desk.finish(order, "CANCELED", "REDUCE_ONLY", _REDUCED)
        if not left:
            return


def on_levels(desk: Desk, side: BookSide, changed: list[int]) -> None:
    """Levels have changed: what we took there is there anew, and no order stands behind more than is displayed."""
    own, taken = (desk.buys, desk.taken_bids) if side.sign > 0 else (desk.sells, desk.taken_asks)
    if taken:
        for key in changed:
            taken.pop(key, None)
    if own.keys:
        for key in changed:
            own.displayed(key, side.shown(key))


def on_book(desk: Desk) -> None:
    """The book is as it is now: fill our orders that the other side reaches, then the stops that watch it."""
    bids, asks = desk.market.bids, desk.market.asks
    if desk.buys.keys and asks.keys and -asks.keys[-1] <= desk.buys.keys[-1]:
        _cross(desk, desk.buys, asks, desk.taken_asks)
    if desk.sells.keys and bids.keys and bids.keys[-1] >= -desk.sells.keys[-1]:
        _cross(desk, desk.sells, bids, desk.taken_bids)
    watches = desk.watches
    if bids.keys and watches["bid"]:
        _watch(desk, watches["bid"], bids.keys[-1])
    if asks.keys and watches["ask"]:
        _watch(desk, watches["ask"], -asks.keys[-1])


def on_mark(desk: Desk) -> None:
    """The mark has moved."""
    watch = desk.watches["mark"]
    if watch and desk.market.mark is not None:
        _watch(desk, watch, desk.market.mark)


def _cross(desk: Desk, own: RestingSide, opposite: BookSide, taken: dict[int, int]) -> None:
    """Fill resting orders from opposite levels that reach them, at the orders' prices, best price and oldest first."""
    levels = opposite.keys
    index = len(levels) - 1
    while own.keys and index >= 0 and -levels[index] <= own.keys[-1]:
        level = levels[index]
        there = opposite.sizes[level] - taken.get(level, 0)
        if there <= 0:
            index -= 1
            continue
        order = own.queues[own.keys[-1]].first()
        size = min(there, desk.fillable(order))
        if size:
            taken[level] = taken.get(level, 0) + size
            fill(desk, order, order.price or 0, size, "maker")
        else:
            desk.finish(order, "CANCELED", "REDUCE_ONLY", _REDUCED)


def _watch(desk: Desk, watch: Watch, price: int) -> None:
    """Move trailing stops with a price, then fire those that it reaches, in the order of their acceptance."""
    for order in watch.ratchet(price):
        desk.hold(order)
        desk.report(order)
    for order in watch.reached(price):
        if order.dormant:
            fire(desk, order)
