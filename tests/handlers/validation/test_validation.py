"""Each rule speaks where it should and is silent where it should; floods are bounded; hours are scored."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from bus.clock import SECOND
from bus.events import Book, Candle, Event, Funding, Quality, Ticker, Trade
from bus.handler import Batch
from daemon.exchanges import load
from daemon.recording import Recording, replay
from handlers.validation import ValidationHandler

T0 = 1_723_161_600 * SECOND  # a full hour
HOUR = 3_600 * SECOND
HEAD = ("binance", "BTC/USDT", T0, T0 + 1_000_000, "ws")


def trade(number: int, price: str = "100.00", seconds: float = 0.0, **changes: object) -> Trade:
    ts = T0 + round(seconds * SECOND) + number
    made = Trade("binance", "BTC/USDT", ts, ts + 1_000_000, "ws", str(number), price, "1", "buy")
    return msgspec.structs.replace(made, **changes)


def flags(*events: Event) -> list[Quality]:
    return list(asyncio.run(ValidationHandler().handle(Batch(events))))


def rules(*events: Event) -> list[str]:
    return [flag.rule for flag in flags(*events) if flag.rule != "score"]


QUIET = [trade(number, f"100.0{number % 3}") for number in range(100)]
TICKER = Ticker(*HEAD, "99", "1", "101", "1", "100", "95", "110", "90", "5", "500")
CANDLE = Candle(*HEAD, "1m", T0, "10", "12", "9", "11", "5", 3, closed=True)
SNAPSHOT = Book(*HEAD, "snapshot", [("99", "1")], [("100", "1")], None, 5)


def changed(event: Event, **changes: object) -> Event:
    return msgspec.structs.replace(event, **changes)


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ("future_time", [trade(1, ts=T0 + 60 * SECOND)]),
        ("late_arrival", [trade(1, recv=T0 + 120 * SECOND)]),
        ("outlier_price", [*QUIET, trade(100, "150.00")]),
        ("outlier_price", [*QUIET, trade(100, "60.00")]),
        ("duplicate_trade", [trade(1), trade(2), trade(1, ts=T0 + 9, recv=T0 + 5_000_000)]),
        ("trade_out_of_order", [trade(5), trade(3, ts=T0 + 9, recv=T0 + 9_000_000)]),
        ("trade_time_backwards", [trade(5, ts=T0 + 9_000), trade(6, ts=T0 + 100)]),
        ("crossed_quote", [changed(TICKER, bid="101.5")]),
        ("crossed_quote", [changed(TICKER, bid="101", last=None)]),
        ("day_statistics", [changed(TICKER, high="80")]),
        ("day_statistics", [changed(TICKER, last="120")]),
        ("ticker_time_backwards", [TICKER, changed(TICKER, ts=T0 - SECOND)]),
        ("crossed_book", [changed(SNAPSHOT, bids=[("100", "1")])]),
        ("one_sided_book", [changed(SNAPSHOT, bids=[])]),
        ("one_sided_book", [changed(SNAPSHOT, bids=[], asks=[])]),
        ("candle_logic", [changed(CANDLE, high="10.5")]),
        ("candle_logic", [changed(CANDLE, low="10.5")]),
        ("candle_logic", [changed(CANDLE, volume="-1")]),
        ("candle_logic", [changed(CANDLE, trades=-1)]),
        ("candle_off_grid", [changed(CANDLE, open_ts=T0 + SECOND)]),
        ("candle_changed", [CANDLE, changed(CANDLE, volume="6")]),
        ("absurd_funding", [Funding(*HEAD, "0.2")]),
    ],
)
def test_a_rule_speaks_of_what_is_wrong_and_nothing_else_does(rule: str, events: list[Event]):
    assert rules(*events) == [rule]
    assert rules(*events[:-1]) == []


@pytest.mark.parametrize(
    "events",
    [
        QUIET,
        [*QUIET, *(trade(100 + n, f"{100 + n * 0.2:.2f}") for n in range(100))],  # a fast but steady market
        [trade(1), trade(1)],  # the same frame delivered again
        [TICKER, TICKER, changed(TICKER, bid=None, ask=None)],
        [SNAPSHOT, changed(SNAPSHOT, kind="delta", bids=[("101", "0")])],
        [CANDLE, CANDLE, changed(CANDLE, timeframe="5m"), changed(CANDLE, timeframe="1w", open_ts=T0 + 60 * SECOND)],
        [Funding(*HEAD, "-0.0001")],
    ],
)
def test_what_is_in_order_is_not_flagged(events: list[Event]):
    assert rules(*events) == []


def test_a_flag_names_feed_event_and_severity():
    (flag,) = flags(trade(7, ts=T0 + 60 * SECOND))
    assert (flag.exchange, flag.symbol, flag.channel) == ("binance", "BTC/USDT", "trade")
    assert (flag.rule, flag.severity, flag.event_ref) == ("future_time", "warning", "trade:7")
    assert flag.detail


def test_a_flood_is_told_as_a_number():
    handler = ValidationHandler()
    bad = [changed(TICKER, bid="101.5", ts=T0 + n, recv=T0 + n) for n in range(1_000)]
    found = list(asyncio.run(handler.handle(Batch(bad))))
    assert len(found) == 5
    (rest,) = asyncio.run(handler.tick(T0 + 61 * SECOND))
    assert "995 more" in rest.detail


def test_an_hour_is_scored_once_it_is_over():
    handler = ValidationHandler()
    good = [changed(TICKER, ts=T0 + n, recv=T0 + n) for n in range(99)]
    asyncio.run(handler.handle(Batch([*good, changed(TICKER, ts=T0 + 99, recv=T0 + 99, bid="101.5")])))
    assert asyncio.run(handler.tick(T0 + 1_800 * SECOND)) == []
    (score,) = asyncio.run(handler.tick(T0 + HOUR + 6 * SECOND))
    assert (score.rule, score.severity, score.channel) == ("score", "info", "ticker")
    detail = json.loads(score.detail)
    assert detail == {"score": 0.99, "events": 100, "flags": {"crossed_quote": 1}}
    assert asyncio.run(handler.tick(T0 + 2 * HOUR)) == []


def test_an_event_of_the_next_hour_scores_the_one_before():
    found = flags(TICKER, changed(TICKER, ts=T0 + HOUR, recv=T0 + HOUR))
    assert [flag.rule for flag in found] == ["score"]


def test_real_recordings_are_nearly_clean(recordings: Path):
    handler = ValidationHandler()
    seen, found = 0, []
    for _, events in replay(Recording(recordings / "binance_btcusdt_20240808.jsonl.gz"), load("binance")()):
        seen += len(events)
        found += [flag for flag in asyncio.run(handler.handle(Batch(events))) if flag.rule != "score"]
    assert seen > 40_000
    assert [flag for flag in found if flag.severity != "info"] == []
    assert len(found) < seen / 100
