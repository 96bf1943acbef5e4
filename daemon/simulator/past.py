"""One-minute candles of days before the simulated exchange was started, so that there is a history to download."""

from random import Random
from typing import Final

from daemon.simulator.bars import INTERVALS, MONTH, Bar, bounds
from daemon.simulator.market import Market

MINUTE: Final = INTERVALS["1m"]
LARGER: Final = (*(name for name, length in INTERVALS.items() if length > MINUTE), MONTH)


def make_past(market: Market, days: int, now: int, random: Random) -> None:
    """Give a market the candles of `days` before `now` (ms), longer ones built from those of a minute."""
    bars = _minutes(market, days * 1_440, now // MINUTE * MINUTE, random)
    candles = market.candles
    candles.closed["1m"].extend(bars)
    for name in LARGER:
        larger = candles.current[name]
        closed = candles.closed[name]
        for bar in bars:
            if bar.start >= candles.current[name].start:
                larger = candles.current[name]
            elif not closed or bar.start >= larger.end:
                larger = Bar(*bounds(name, bar.start), bar.open)
                closed.append(larger)
            larger.fold(bar)


def _minutes(market: Market, count: int, end: int, random: Random) -> list[Bar]:
    """Walk back from the market's first price: each minute closes where the next one opens."""
    price, number = market.symbol.price, market.trades.first
    bars: list[Bar] = []
    for start in range(end - MINUTE, end - (count + 1) * MINUTE, -MINUTE):
        bar = Bar(start, start + MINUTE, price)
        step = max(1, price // 2_000)
        bar.open = max(step + 1, price + random.randint(-step, step))
        bar.high = max(bar.open, price) + random.randrange(step)
        bar.low = min(bar.open, price) - random.randrange(step)
        bar.count = random.randint(1, 400)
        bar.lots = round(bar.count * market.symbol.size * random.uniform(0.5, 1.5))
        bar.value = bar.lots * (bar.open + price) // 2
        bar.buy_lots, bar.buy_value = bar.lots // 2, bar.value // 2
        bar.last, bar.first = number - 1, number - bar.count
        price, number = bar.open, bar.first
        bars.append(bar)
    bars.reverse()
    return bars
