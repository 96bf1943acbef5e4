"""Candles asked for at their closes: in time, each once, again when late, and what a downtime has missed."""

import asyncio
from contextlib import asynccontextmanager
from math import inf

import pytest

from bus import timeframes
from bus.clock import SECOND, ManualClock
from bus.errors import ExchangeUnavailable
from bus.events import Candle
from bus.local import LocalState
from daemon.collectors.board import FeedBoard
from daemon.collectors.closes import FARTHEST, SETTLING, SPREAD, ClosePoller, until_close
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey
from tests.daemon.collectors.helpers import Highest, ListeningBus

MINUTE = 60 * SECOND
FEED = FeedKey("AAA/USD", "candle", "1m")
PAGE = 500


class History:
    """An exchange whose candles become known `late` ns after their close."""

    def __init__(self, clock, late=0):
        self.clock = clock
        self.late = late
        self.asked: list[tuple[int, int]] = []
        self.down = False
        self.quiet: set[int] = set()
        """Candles that it does not have, by open time."""

    async def __call__(self, feed, span):
        self.asked.append((self.clock.now(), span.start))
        if self.down:
            raise ExchangeUnavailable("the exchange is down")
        length = timeframes.following(feed.timeframe, 0)
        bars = [self._bar(feed, ts, length) for ts in range(-(-span.start // length) * length, span.end, length)]
        known = [bar for bar in bars if bar is not None]
        for start in range(0, len(known), PAGE):
            yield known[start : start + PAGE]

    def _bar(self, feed, ts, length):
        closed = ts + length <= self.clock.now()
        if ts in self.quiet or (closed and ts + length + self.late > self.clock.now()):
            return None
        return Candle(
            "tiny", feed.symbol, None, self.clock.now(), "backfill", feed.timeframe, ts, "1", "1", "1", "1", "1", 1,
            closed=closed,
        )  # fmt: skip


class Stage:
    def __init__(self):
        self.clock = ManualClock(1_700_000_010 * SECOND)  # 22:13:30 UTC
        self.history = History(self.clock)
        self.bus = ListeningBus()
        self.state = LocalState()

    @asynccontextmanager
    async def running(self, feed=FEED):
        outbox = Outbox(self.bus, self.clock)
        board = FeedBoard("tiny", outbox, self.clock)
        board.add([feed])
        poller = ClosePoller("tiny", self.history, board, outbox, self.state, self.clock, Highest())
        task = asyncio.create_task(poller.run(feed))
        await self.let()
        yield outbox
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def let(self):
        for _ in range(50):
            await asyncio.sleep(0)

    async def seconds(self, count):
        for _ in range(count):
            self.clock.advance(1)
            await self.let()

    @property
    def opened(self):
        return [candle.open_ts for candle in self.bus.of(Candle)]


async def test_the_last_closed_candle_comes_at_once_and_each_next_one_shortly_after_its_close():
    stage = Stage()
    async with stage.running():
        first = stage.clock.now() // MINUTE * MINUTE - MINUTE
        assert stage.opened == [first]
        assert {(candle.source, candle.closed) for candle in stage.bus.of(Candle)} == {("rest", True)}
        assert stage.bus.states("AAA/USD", "candle:1m") == ["connecting", "live"]
        await stage.seconds(120)
        assert stage.opened == [first, first + MINUTE, first + 2 * MINUTE]
        assert [at % MINUTE for at, _ in stage.history.asked[1:]] == [int((SETTLING + SPREAD) * SECOND)] * 2


async def test_a_late_candle_is_asked_for_again_and_published_once():
    stage = Stage()
    stage.history.late = 20 * SECOND
    async with stage.running():
        await stage.seconds(120)
        assert stage.opened == sorted(set(stage.opened))
        assert len(stage.opened) == 3
        assert len(stage.history.asked) > 4


async def test_a_minute_without_trades_holds_nothing_up():
    stage = Stage()
    first = stage.clock.now() // MINUTE * MINUTE - MINUTE
    stage.history.quiet = {first + MINUTE, first + 2 * MINUTE}
    async with stage.running():
        await stage.seconds(240)
        assert stage.opened == [first, first + 3 * MINUTE, first + 4 * MINUTE]


async def test_what_closed_during_a_downtime_is_caught_up_with():
    stage = Stage()
    async with stage.running():
        pass
    (last,) = stage.opened
    stage.clock.advance(20 * 3600)
    async with stage.running():
        assert stage.opened == [last + n * MINUTE for n in range(1201)]


async def test_a_long_downtime_is_left_to_the_healing_of_gaps():
    stage = Stage()
    feed = FeedKey("AAA/USD", "candle", "1h")
    async with stage.running(feed):
        pass
    stage.clock.advance(2 * FARTHEST / SECOND)
    async with stage.running(feed):
        assert stage.clock.now() - FARTHEST <= stage.opened[1] < stage.clock.now() - FARTHEST + 3600 * SECOND


async def test_an_exchange_in_trouble_is_said_and_caught_up_with():
    stage = Stage()
    async with stage.running():
        stage.history.down = True
        await stage.seconds(180)
        assert stage.bus.states("AAA/USD", "candle:1m") == ["connecting", "live", "down"]
        stage.history.down = False
        await stage.seconds(30)
        assert stage.bus.states("AAA/USD", "candle:1m")[-1] == "live"
        assert [b - a for a, b in zip(stage.opened, stage.opened[1:], strict=False)] == [MINUTE] * 3


@pytest.mark.parametrize(
    ("timeframe", "now", "expected"),
    [
        ("1m", 0, 60),
        ("1m", 59 * SECOND, 1),
        ("1h", 90 * MINUTE, 1800),
        ("1d", MINUTE, 86_340),
        ("", 5, inf),
        ("3d", 5, inf),
    ],
)
def test_the_running_candle_ends_on_the_calendar(timeframe, now, expected):
    assert until_close(timeframe, now) == expected


async def test_who_stands_by_remembers_nothing():
    stage = Stage()
    async with stage.running() as outbox:
        outbox.stand_by()
        await stage.seconds(120)
    assert len(stage.opened) == 1
    async with stage.running():
        assert len(stage.opened) == 3, "in the next life they are asked for again"
