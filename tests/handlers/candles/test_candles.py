"""Candles are what an independent computation says, in whatever order trades come, and differences are told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Candle, Event, Gap, Quality, Trade
from bus.handler import Batch
from bus.local import LocalState
from handlers.candles import CandleHandler
from handlers.candles.bar import Bar, fold
from handlers.candles.past import StoredTrade

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
T0 = 1_723_161_600 * SECOND  # 2024-08-09T00:00:00Z
WANTED = ("1m", "5m", "1h", "1d")
Row = tuple[Decimal, Decimal, Decimal, Decimal, Decimal]


@dataclass
class Memory:
    """The past: what a test says was stored."""

    bars: list[Bar] = field(default_factory=list)
    prints: list[StoredTrade] = field(default_factory=list)

    async def since(self, exchange: str, symbol: str) -> int | None:
        return min((bar.open_ts for bar in self.bars), default=None)

    async def minutes(self, exchange: str, symbol: str, start: int, end: int) -> Sequence[Bar]:
        return sorted((bar for bar in self.bars if start <= bar.open_ts < end), key=lambda bar: bar.open_ts)

    async def trades(self, exchange: str, symbol: str, start: int, end: int) -> Sequence[StoredTrade]:
        return [each for each in self.prints if start <= each.ts < end]

    async def close(self) -> None: ...


def trade(number: int, ts: int, price: str = "10", amount: str = "1", recv: int | None = None) -> Trade:
    return Trade("x", "A/B", ts, ts if recv is None else recv, "ws", str(number), price, amount, "buy")


def own(timeframe: str, open_ts: int, *row: str, recv: int, closed: bool = True) -> Candle:
    return Candle("x", "A/B", open_ts, recv, "ws", timeframe, open_ts, *row, None, closed=closed)  # type: ignore[misc]


def expected(trades: Sequence[Trade], length: int) -> dict[int, Row]:
    """The candles of trades, computed in the plainest way."""
    found: dict[int, list[Trade]] = {}
    for each in sorted(trades, key=lambda t: (t.ts, int(t.id))):
        found.setdefault((each.ts or 0) // length * length, []).append(each)
    return {
        opening: (
            Decimal(group[0].price), max(Decimal(t.price) for t in group), min(Decimal(t.price) for t in group),
            Decimal(group[-1].price), sum((Decimal(t.amount) for t in group), Decimal()),
        )
        for opening, group in found.items()
    }  # fmt: skip


def last_word(told: Sequence[Event], timeframe: str) -> dict[int, Row]:
    """What was said last of every closed candle."""
    return {
        e.open_ts: tuple(map(Decimal, (e.open, e.high, e.low, e.close, e.volume)))  # type: ignore[misc]
        for e in told
        if type(e) is Candle and e.timeframe == timeframe and e.closed
    }


def flags(told: Sequence[Event]) -> list[tuple[str, str]]:
    return [(e.event_ref, e.detail) for e in told if type(e) is Quality and e.rule == "candle_mismatch"]


async def play(events: Sequence[Event], past: Memory | None = None, cuts: int = 1, until: int = 0) -> list[Event]:
    """What a handler says of events in batches of so many; afterwards time passes until everything is settled."""
    handler = CandleHandler(WANTED, past or Memory())
    await handler.start(LocalState())
    told: list[Event] = []
    for start in range(0, len(events), cuts):
        told += await handler.handle(Batch(events[start : start + cuts]))
    end = max([until, *(e.recv for e in events if isinstance(e, Trade | Candle))])
    for step in range(1, 6):
        told += await handler.tick(end + step * 30 * SECOND)
    told += await handler.tick(end + DAY)
    return told


offsets = st.lists(st.integers(MINUTE // SECOND, 3 * 3_600), min_size=1, max_size=60).map(sorted)


@settings(max_examples=60, deadline=None)
@given(seconds=offsets, prices=st.data(), cuts=st.integers(1, 40))
def test_candles_of_trades_are_what_an_independent_computation_says(
    seconds: list[int], prices: st.DataObject, cuts: int
):
    first = trade(0, T0 - 1)  # so that the minutes after it are seen whole
    drawn = [prices.draw(st.tuples(st.integers(1, 99), st.integers(1, 9))) for _ in seconds]
    trades = [
        trade(n + 1, T0 + s * SECOND, f"{price}.50", f"0.{amount}")
        for n, (s, (price, amount)) in enumerate(zip(seconds, drawn, strict=True))
    ]
    delays = [prices.draw(st.sampled_from([0, 0, 0, 1, 30, 300, 2_000])) for _ in seconds]
    late = [
        trade(int(t.id), t.ts or 0, t.price, t.amount, (t.ts or 0) + delay * SECOND)
        for t, delay in zip(trades, delays, strict=True)
    ]
    arriving = sorted(late, key=lambda t: t.recv)
    past = Memory(prints=[StoredTrade(t.id, t.ts or 0, t.price, t.amount) for t in trades])
    told = asyncio.run(play([first, *arriving, *arriving[-5:]], past, cuts))
    for timeframe, length in (("1m", MINUTE), ("5m", 5 * MINUTE), ("1h", HOUR)):
        assert last_word(told, timeframe) == expected(trades, length)
    assert not flags(told)


async def test_a_candle_is_told_while_it_runs_when_it_ends_and_when_it_changes():
    handler = CandleHandler(("1m", "5m"), Memory())
    await handler.start(LocalState())

    def said(events: Sequence[Event]) -> list[tuple[str, int, str, str, bool]]:
        candles = [e for e in events if type(e) is Candle]
        assert all((e.source, e.ts) == ("derived", None) for e in candles)
        return [(e.timeframe, (e.open_ts - T0) // MINUTE, e.close, e.volume, e.closed) for e in candles]

    await handler.handle(Batch([trade(0, T0 - 1)]))
    await handler.handle(Batch([trade(1, T0 + SECOND, "10"), trade(2, T0 + 2 * SECOND, "12.5")]))
    assert said(await handler.tick(T0 + 6 * SECOND)) == [("1m", 0, "12.5", "2", False), ("5m", 0, "12.5", "2", False)]
    assert said(await handler.tick(T0 + 7 * SECOND)) == []
    assert said(await handler.tick(T0 + 30 * SECOND)) == []  # nothing new
    assert ("1m", 0, "12.5", "2", True) in said(await handler.tick(T0 + MINUTE + 3 * SECOND))
    await handler.handle(Batch([trade(3, T0 + 3 * SECOND, "11", recv=T0 + MINUTE + 4 * SECOND)]))
    corrected = said(await handler.tick(T0 + MINUTE + 5 * SECOND))
    assert ("1m", 0, "11", "3", True) in corrected
    assert said(await handler.tick(T0 + 5 * MINUTE + 3 * SECOND)) == [("5m", 0, "11", "3", True)]
    await handler.close()


async def test_longer_candles_are_made_of_the_exchanges_minutes_and_not_told_where_it_tells_them():
    minutes = [
        own("1m", T0 + n * MINUTE, "5", f"{9 + n % 7}", "1", "6", "2.5", recv=T0 + (n + 1) * MINUTE) for n in range(60)
    ]
    trades = [trade(0, T0 - 1), *(trade(n + 1, T0 + n * MINUTE + 1, "3") for n in range(60))]
    other = own("5m", T0, "5", "13", "1", "6", "12.5", recv=T0 + 5 * MINUTE)
    told = await play(sorted([*minutes, *trades, other], key=lambda e: e.recv))
    assert last_word(told, "1m") == {}
    assert last_word(told, "5m") == {}
    assert last_word(told, "1h") == {T0: tuple(map(Decimal, ("5", "15", "1", "6", "150.0")))}
    assert {reference for reference, _ in flags(told)} == {f"candle:1m:{T0 + n * MINUTE}" for n in range(60)}


async def test_what_differs_from_the_exchanges_own_is_told_once_with_what_differs():
    trades = [trade(0, T0 - 1), trade(1, T0 + 1, "10"), trade(2, T0 + 2, "12"), trade(3, T0 + 3, "11", "0.5")]
    right = own("1m", T0, "10", "12", "10", "11", "2.5", recv=T0 + MINUTE)
    wrong = own("1m", T0, "10", "12", "9", "11", "2.50", recv=T0 + MINUTE)
    assert flags(await play([*trades, right])) == []
    assert flags(await play([*trades, wrong, wrong])) == [
        (f"candle:1m:{T0}", "by its trades low 10 is 9 at the exchange")
    ]
    five = [own("1m", T0 + n * MINUTE, "1", "2", "1", "2", "1", recv=T0 + (n + 1) * MINUTE) for n in range(5)]
    volume = own("5m", T0, "1", "2", "1", "2", "6", recv=T0 + 5 * MINUTE)
    assert flags(await play([*five, volume])) == [
        (f"candle:5m:{T0}", "by its one-minute candles volume 5 is 6 at the exchange")
    ]


async def test_minutes_with_a_gap_in_their_trades_are_not_compared_until_it_is_filled():
    def gap(state: str) -> Gap:
        return Gap(T0, "g", "x", "A/B", "trade", T0, T0 + SECOND, "2", "2", state, "")  # type: ignore[arg-type]

    candle = own("1m", T0, "10", "12", "10", "12", "2", recv=T0 + MINUTE)
    before = [trade(0, T0 - 1), trade(1, T0 + 1, "10"), gap("open"), candle]
    assert flags(await play(before)) == []
    assert flags(await play([*before, trade(2, T0 + 2, "12", recv=T0 + 2 * MINUTE), gap("filled")])) == []
    assert len(flags(await play([*before, trade(2, T0 + 2, "11", recv=T0 + 2 * MINUTE), gap("filled")]))) == 1


async def test_after_a_restart_candles_go_on_from_what_is_stored():
    stored = [Bar(T0 + n * MINUTE, *map(Decimal, ("4", "9", "3", "5", "1")), 2) for n in range(90)]
    now = T0 + 90 * MINUTE + 30 * SECOND
    past = Memory(stored, [StoredTrade("900", T0 + 90 * MINUTE + SECOND, "50", "1")])
    told = await play([trade(901, now, "7"), trade(902, now + 40 * MINUTE, "8")], past, until=T0 + DAY)
    assert last_word(told, "1m")[T0 + 90 * MINUTE] == tuple(map(Decimal, ("50", "50", "7", "7", "2")))
    assert last_word(told, "1h")[T0 + HOUR] == tuple(map(Decimal, ("4", "50", "3", "7", "32")))
    assert last_word(told, "1d")[T0] == tuple(map(Decimal, ("4", "50", "3", "8", "93")))


async def test_what_began_before_anything_is_known_is_not_told():
    told = await play([trade(1, T0 + 90 * MINUTE + 1), trade(2, T0 + 3 * HOUR + 1)], until=T0 + DAY)
    assert set(last_word(told, "1m")) == {T0 + 3 * HOUR}
    assert set(last_word(told, "1h")) == {T0 + 3 * HOUR}
    assert last_word(told, "1d") == {}


async def test_a_healed_minute_of_long_ago_corrects_all_that_it_lies_in():
    bars = [Bar(T0 + n * MINUTE, *map(Decimal, ("4", "9", "3", "5", "1")), 2) for n in range(1_440) if n != 100]
    past = Memory(bars)
    now = T0 + DAY + 10 * MINUTE
    live = own("1m", now - MINUTE, "4", "9", "3", "5", "1", recv=now)
    healed = own("1m", T0 + 100 * MINUTE, "4", "20", "3", "5", "1", recv=now + 1)
    told = await play([live, healed], past)
    assert last_word(told, "5m")[T0 + 100 * MINUTE][1] == 20
    assert last_word(told, "1h")[T0 + HOUR] == tuple(map(Decimal, ("4", "20", "3", "5", "60")))
    assert last_word(told, "1d")[T0] == tuple(map(Decimal, ("4", "20", "3", "5", "1440")))


@given(st.lists(st.tuples(*[st.decimals(1, 99, places=2)] * 5), min_size=1, max_size=12), st.integers(1, 11))
def test_folding_in_parts_is_folding_at_once(rows: list[tuple[Decimal, ...]], cut: int):
    bars = [Bar(n, *row, 1) for n, row in enumerate(rows)]
    parts = [part for part in (fold(0, bars[:cut]), fold(cut, bars[cut:])) if part is not None]
    assert fold(0, parts) == fold(0, bars)
