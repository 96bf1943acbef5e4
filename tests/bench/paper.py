"""How fast the paper engine matches: decoded events with resting orders, and whole lives of orders.

    python tests/bench/paper.py [--events 300000]

Events are made beforehand, as a handler gets them: decoded, with decimal strings. Of every number of resting orders:
events of a walking market that they are away from, or whose prints and levels reach them; then whole lives of orders
(limit, accept, cancel), also after many have been. In seconds of CPU time, so that neighbours on the machine count
little.
"""

import argparse
import time
from random import Random

from bus.clock import MILLISECOND
from bus.events import Book, Side, Trade
from bus.paper import FillReport
from handlers.paper.commands import Cancel, Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.market import Tradable
from handlers.paper.orders import OrderRequest
from handlers.paper.settings import Settings

EXCHANGE, SYMBOL = "bench", "BTC/USDT"
MIDDLE = 50_000_00


def _price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _events(count: int, start: int, random: Random) -> list[Tradable]:
    """A market that walks within 5 USDT of the middle: 60 % book deltas of one to three levels, 40 % prints."""
    events: list[Tradable] = []
    middle = MIDDLE
    for number in range(count):
        recv = start + number * MILLISECOND
        middle = min(MIDDLE + 400, max(MIDDLE - 400, middle + random.randint(-2, 2)))
        if random.random() < 0.4:
            side = random.choice(("buy", "sell"))
            price = _price(middle + (5 if side == "buy" else -5))
            events.append(Trade(EXCHANGE, SYMBOL, recv, recv, "ws", str(number), price, _size(random), side))
        else:
            changes = [random.randint(5, 60) for _ in range(random.randint(1, 3))]
            bids = [(_price(middle - change), _size(random)) for change in changes if change % 2]
            asks = [(_price(middle + change), _size(random)) for change in changes if not change % 2]
            events.append(Book(EXCHANGE, SYMBOL, recv, recv, "ws", "delta", bids, asks))
    return events


def _size(random: Random) -> str:
    return f"{random.randint(1, 99999) / 10000:.5f}"


def _engine(resting: int, *, near: bool) -> Engine:
    engine = Engine()
    spec = InstrumentSpec(SYMBOL, "BTC", "USDT", "0.01", "0.00001", "5")
    engine.list_instrument(Instrument(EXCHANGE, spec))
    engine.create("bench", {"USDT": "100000000"}, Settings())
    bids = [(_price(MIDDLE - 5 - level), "1.5") for level in range(1000)]
    asks = [(_price(MIDDLE + 5 + level), "1.5") for level in range(1000)]
    engine.on_event(Book(EXCHANGE, SYMBOL, 1, 1, "ws", "snapshot", bids, asks))
    for number in range(resting):
        away = 50 + number % 600 if near else 1_000 + number % 500
        _submit(engine, f"r{number}", _price(MIDDLE - away), number + 1, 2)
    engine.reports.clear()
    return engine


def _submit(engine: Engine, order_id: str, price: str, position: int, now: int, side: Side = "buy") -> None:
    request = OrderRequest(
        id=order_id, exchange=EXCHANGE, symbol=SYMBOL, side=side, order_type="limit", quantity="0.001", price=price
    )
    engine.on_command(Submit("bench", request), now, position)


def _lives(engine: Engine, count: int) -> float:
    """Seconds for so many orders from submission to cancellation, their reports taken away as they come."""
    now, position = engine.clock.now + 1, engine.position
    began = time.process_time()
    for number in range(count):
        position += 2
        name = f"l{position}"
        _submit(engine, name, _price(MIDDLE - 1_200 - number % 200), position - 1, now)
        engine.on_command(Cancel("bench", name), now, position)
        engine.reports.clear()
    return time.process_time() - began


def _filled(engine: Engine, count: int) -> float:
    """Seconds for so many orders from submission to their fill by a print, bought and sold in turn."""
    engine.on_event(Book(EXCHANGE, SYMBOL, None, engine.clock.now + 1, "ws", "snapshot", [], []))
    now, position = engine.clock.now + 1, engine.position
    began = time.process_time()
    for number in range(count):
        position += 1
        now += 1
        side = "sell" if number % 2 else "buy"
        _submit(engine, f"f{position}", _price(MIDDLE), position, now, side)
        taker = "buy" if number % 2 else "sell"
        engine.on_event(Trade(EXCHANGE, SYMBOL, now, now, "ws", str(position), _price(MIDDLE), "0.001", taker))
        engine.reports.clear()
    assert not engine.portfolios["bench"].ledger.balance("BTC").total
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=300_000)
    count = parser.parse_args().events
    for resting, near in ((0, False), (1_000, False), (1_000, True), (10_000, False), (10_000, True)):
        engine = _engine(resting, near=near)
        events = _events(count, 10 * MILLISECOND, Random(1))
        began = time.process_time()
        for event in events:
            engine.on_event(event)
        seconds = time.process_time() - began
        fills = sum(isinstance(report, FillReport) for report in engine.reports)
        where = "at the touch" if near else "away"
        print(f"{resting:>6} resting {where}: {count / seconds:>9,.0f} events/s, {fills:,} fills")
        engine.reports.clear()
        for history in (0, 100_000):
            _lives(engine, history)
            lives = count // 10
            print(f"{resting:>6} resting, {history:>7} orders before: {lives / _lives(engine, lives):>9,.0f} orders/s")
    engine = _engine(1_000, near=False)
    print(f"  1000 resting, orders that are filled: {count // 10 / _filled(engine, count // 10):>9,.0f} orders/s")


if __name__ == "__main__":
    main()
