"""The engine's whole state as bytes, and an engine from them that goes on as if nothing had been in between (rule 19).

JSON, because its integers have no limit; amounts are in the engine's own units.
"""

import msgspec

from bus.book import BookSequence
from handlers.paper.account import Balance, Position
from handlers.paper.book import BookSide
from handlers.paper.commands import InFlight
from handlers.paper.desk import Desk
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.market import Latest, Market
from handlers.paper.orders import Order
from handlers.paper.portfolio import Portfolio
from handlers.paper.settings import Settings
from handlers.paper.stats import Record


class SideState(msgspec.Struct, array_like=True):
    """One side of a book: what is displayed, and the levels that can be filled from."""

    sizes: dict[int, int]
    keys: list[int]


class MarketState(msgspec.Struct):
    """A market; `portfolios` are those whose desks stand here, in the order in which they opened."""

    exchange: str
    spec: InstrumentSpec
    bids: SideState
    asks: SideState
    last: int | None
    mark: int | None
    mark_stated: bool
    has_book: bool
    sequence: BookSequence
    latest: dict[str, Latest]
    portfolios: list[str]


class DeskState(msgspec.Struct):
    """A portfolio's desk on a market."""

    exchange: str
    symbol: str
    taken_bids: dict[int, int]
    taken_asks: dict[int, int]
    position: Position
    value: int
    trip: tuple[int, int]


class PortfolioState(msgspec.Struct):
    """A portfolio with its open orders in time order, each with the number of its desk."""

    name: str
    initial: dict[str, str]
    settings: Settings
    balances: dict[str, Balance]
    unpriced: dict[str, int]
    invested: int
    record: Record
    desks: list[DeskState]
    orders: list[tuple[int, Order]]
    finished: tuple[list[str], list[str]]
    order_times: list[int]
    seq: int
    value: int
    halted: str | None
    guard: tuple[int, int, int]


class EngineState(msgspec.Struct):
    """Everything that the engine knows."""

    now: int
    position: int
    serial: int
    halted: str | None
    markets: list[MarketState]
    portfolios: list[PortfolioState]
    flight: list[InFlight]
    expiries: list[tuple[int, str, str]]


def dump(engine: Engine) -> bytes:
    """Return the engine's state between two inputs."""
    return msgspec.json.encode(
        EngineState(
            engine.clock.now,
            engine.position,
            engine.serial,
            engine.halted,
            [_market_state(market) for market in engine.markets.values()],
            [portfolio_state(portfolio) for portfolio in engine.portfolios.values()],
            engine.flight,
            engine.expiries,
        )
    )


def load(data: bytes) -> Engine:
    """Return an engine in the state that was dumped. Raises msgspec.DecodeError for bytes that are none."""
    state = msgspec.json.decode(data, type=EngineState)
    engine = Engine()
    engine.clock.now = state.now
    engine.position, engine.serial, engine.halted = state.position, state.serial, state.halted
    engine.flight, engine.expiries = state.flight, state.expiries
    for of_market in state.markets:
        engine.list_instrument(Instrument(of_market.exchange, of_market.spec))
        _restore_market(engine.markets[of_market.exchange, of_market.spec.symbol], of_market)
    for of_portfolio in state.portfolios:
        engine.portfolios[of_portfolio.name] = _restore_portfolio(engine, of_portfolio)
    for of_market in state.markets:
        market = engine.markets[of_market.exchange, of_market.spec.symbol]
        key = (of_market.exchange, of_market.spec.symbol)
        market.desks = [engine.portfolios[name].desks[key] for name in of_market.portfolios]
    return engine


def _market_state(market: Market) -> MarketState:
    bids, asks = market.bids, market.asks
    return MarketState(
        market.instrument.exchange,
        market.instrument.spec,
        SideState(bids.sizes, bids.keys),
        SideState(asks.sizes, asks.keys),
        market.last,
        market.mark,
        market.mark_stated,
        market.has_book,
        market.sequence,
        market.latest,
        [desk.portfolio.name for desk in market.desks],
    )


def _restore_market(market: Market, state: MarketState) -> None:
    _restore_side(market.bids, state.bids)
    _restore_side(market.asks, state.asks)
    market.last, market.mark, market.mark_stated = state.last, state.mark, state.mark_stated
    market.has_book, market.sequence = state.has_book, state.sequence
    market.latest = state.latest


def _restore_side(side: BookSide, state: SideState) -> None:
    side.sizes, side.keys = state.sizes, state.keys


def portfolio_state(portfolio: Portfolio) -> PortfolioState:
    """Return a portfolio's state between two inputs."""
    desks = list(portfolio.desks.values())
    number = {desk: index for index, desk in enumerate(desks)}
    for desk in desks:
        for side in (desk.buys, desk.sells):
            for queue in side.queues.values():
                for order, ahead in queue.orders():
                    order.ahead = ahead
    return PortfolioState(
        portfolio.name,
        portfolio.initial,
        portfolio.settings,
        portfolio.ledger.balances,
        portfolio.unpriced,
        portfolio.invested,
        portfolio.record,
        [_desk_state(desk) for desk in desks],
        [(number[desk], order) for order, desk in portfolio.open.values()],
        (sorted(portfolio.finished_before), sorted(portfolio.finished)),
        list(portfolio.order_times),
        portfolio.seq,
        portfolio.value,
        portfolio.halted,
        (portfolio.guard_day, portfolio.guard_base, portfolio.guard_high),
    )


def _desk_state(desk: Desk) -> DeskState:
    at = desk.market.instrument
    return DeskState(
        at.exchange, at.spec.symbol, desk.taken_bids, desk.taken_asks, desk.position, desk.value, desk.trip
    )


def _restore_portfolio(engine: Engine, state: PortfolioState) -> Portfolio:
    portfolio = Portfolio(state.name, state.initial, state.settings, engine.reports, engine.clock)
    portfolio.ledger.balances = state.balances
    portfolio.ledger.touched.clear()
    portfolio.unpriced, portfolio.invested, portfolio.record = state.unpriced, state.invested, state.record
    portfolio.finished_before, portfolio.finished = map(set, state.finished)
    portfolio.order_times.extend(state.order_times)
    portfolio.seq, portfolio.value, portfolio.halted = state.seq, state.value, state.halted
    portfolio.guard_day, portfolio.guard_base, portfolio.guard_high = state.guard
    for of_desk in state.desks:
        key = (of_desk.exchange, of_desk.symbol)
        desk = portfolio.desks[key] = Desk(portfolio, engine.markets[key])
        desk.taken_bids, desk.taken_asks = of_desk.taken_bids, of_desk.taken_asks
        desk.position, desk.value, desk.trip = of_desk.position, of_desk.value, of_desk.trip
    desks = list(portfolio.desks.values())
    for number, order in state.orders:
        portfolio.open[order.id] = (order, desks[number])
        portfolio.ledger.join(order)
    for order, desk in sorted(portfolio.open.values(), key=lambda found: found[0].seq):
        if order.resting:
            desk.resting(buy=order.buy).add(order.key, order, order.ahead)
        elif order.dormant:
            desk.watch(order)
    return portfolio
