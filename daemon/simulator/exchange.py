"""The running simulation: lets time pass in small slices and order events happen at the asked rate."""

from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Final

import structlog

from bus.clock import MILLISECOND, Clock
from daemon.simulator.bars import SECOND
from daemon.simulator.history import KEPT
from daemon.simulator.market import Market
from daemon.simulator.past import make_past
from daemon.simulator.streams import Streams
from daemon.simulator.symbols import SYMBOLS, Symbol

log = structlog.get_logger(__name__)

SLICE: Final = 0.005
"""Seconds between two wake-ups."""
MOST_AT_ONCE: Final = 2_000
"""Order events between two looks at the sockets, however far behind we are."""
IDS_PER_MS: Final = 200
"""First ids are the clock's milliseconds times this: more than any rate uses up, so no run repeats an id of another."""
BEHIND: Final = 1.0


class SimulatedExchange:
    """All markets on one clock. The same seed, clock and symbols give the same flow."""

    def __init__(
        self, clock: Clock, *, seed: int, rate: int, symbols: tuple[Symbol, ...] = SYMBOLS, kept: int = KEPT,
        history_days: int = 0,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.rate = rate
        self.seed = seed
        self.paused = False
        self.streams = Streams()
        random = Random(seed)
        now = clock.now() // MILLISECOND
        self.started = now
        self.markets = {
            symbol.name: Market(symbol, Random(random.random()), now, now * IDS_PER_MS, self.streams, kept)
            for symbol in symbols
        }
        for market in self.markets.values():
            make_past(market, history_days, now, Random(f"{seed} {market.name}"))
        markets = list(self.markets.values())
        shares = list(accumulate(market.symbol.weight for market in markets))
        # a table of 4096 places is quicker to draw from than the shares themselves
        self._table = [
            next(market for market, share in zip(markets, shares, strict=True) if place / 4_096 * shares[-1] < share)
            for place in range(4_096)
        ]
        self._draw = Random(random.random()).getrandbits
        self._now = now
        self._due = 0.0
        self.events = 0
        self.behind = 0.0
        self.each_slice: Callable[[], None] = lambda: None
        """Called whenever time has passed, before anything is sent."""
        self._tickers = self.streams.get("!ticker@arr")
        self._minis = self.streams.get("!miniTicker@arr")

    @property
    def now(self) -> int:
        """The exchange's time in ms."""
        return self._now

    async def run(self) -> None:
        """Run on the clock until cancelled."""
        last = self.clock.monotonic()
        while True:
            await self.clock.sleep(
                SLICE if self._due < MOST_AT_ONCE else 0.0
            )  # far behind: only let the sockets have a turn
            now = self.clock.monotonic()
            elapsed, last = now - last, now
            self.advance(elapsed, self.clock.now() // MILLISECOND)
            self._watch_pace()

    def _watch_pace(self) -> None:
        """Say when the asked rate cannot be held."""
        self.behind = self._due / self.rate
        if self.behind > BEHIND:
            log.warning("the simulated exchange cannot hold the rate", rate=self.rate, behind_seconds=self.behind)
            self._due = 0.0

    def advance(self, elapsed: float, now: int) -> None:
        """Let `elapsed` seconds of order flow happen, up to the time `now` (ms)."""
        now = max(now, self._now)
        self.each_slice()
        if not self.paused:
            self._due += elapsed * self.rate
        count = min(int(self._due), MOST_AT_ONCE)
        self._due -= count
        start, span = self._now, now - self._now
        done = 0
        while self._now < now or done < count:
            # events are spread over the slice; time stops at every 100 ms for what has to be told there
            mark = min(now, (self._now // 100 + 1) * 100)
            share = count if mark >= now else min(count, round(count * (mark - start) / span))
            self._events(share - done, min(now, mark))
            done = share
            self._pass(mark)
            if mark >= now and done >= count:
                break
        self.streams.flush()

    def _events(self, count: int, until: int) -> None:
        table, draw = self._table, self._draw
        # within a stretch all events have its last millisecond before the mark, so that none lies beyond a candle's end
        time = max(self._now, until - 1 if until % 100 == 0 else until)
        for _ in range(count):
            table[draw(12)].step(time)
        self.events += max(0, count)

    def _pass(self, time: int) -> None:
        """Let the clock reach a time; tell what is due every 100 ms and every second."""
        before, self._now = self._now, time
        if time // 100 == before // 100:
            return
        second = time // SECOND != before // SECOND
        for market in self.markets.values():
            if market.halted:
                continue
            market.tell_depth(100, time)
            if second:
                market.pass_time(time)
                market.tell_depth(1_000, time)
                market.tell_statistics(time)
        if second:
            self._tell_all(time)

    def _tell_all(self, time: int) -> None:
        markets = self.markets.values()
        if self._tickers.wanted:
            self._tickers.send("[" + ",".join(market.day_event(time) for market in markets) + "]")
        if self._minis.wanted:
            self._minis.send("[" + ",".join(market.mini_event(time) for market in markets) + "]")
