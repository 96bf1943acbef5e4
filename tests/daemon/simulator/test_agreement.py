"""Trades, book, candles and tickers tell one story; the same seed tells it again."""

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest

from bus.clock import ManualClock
from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.streams import Client
from daemon.simulator.symbols import SYMBOLS

NAMES = [
    "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@kline_1s",
    "btcusdt@kline_1m", "btcusdt@ticker",
]  # fmt: skip
START = 1_700_000_040_000


class Wire:
    """Stands in for a socket: keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def messages(self) -> list[dict[str, Any]]:
        """Take the frames apart (server to client: not masked)."""
        found, data, at = [], bytes(self.data), 0
        while at < len(data):
            size, at = data[at + 1], at + 2
            if size == 126:
                size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            elif size == 127:
                size, at = int.from_bytes(data[at : at + 8], "big"), at + 8
            found.append(json.loads(data[at : at + size]))
            at += size
        return found


def run(seconds: int, seed: int = 5, rate: int = 500) -> tuple[SimulatedExchange, list[dict[str, Any]]]:
    clock = ManualClock(START * 1_000_000)
    exchange = SimulatedExchange(clock, seed=seed, rate=rate, symbols=SYMBOLS[:2])
    wire = Wire()
    client = Client(wire, combined=True)  # type: ignore[arg-type] # all of a transport that is used
    exchange.streams.join(client)
    for name in NAMES:
        exchange.streams.subscribe(client, name)
    for _ in range(seconds * 100):
        clock.advance(0.01)
        exchange.advance(0.01, clock.now() // 1_000_000)
    return exchange, wire.messages()


@pytest.fixture(scope="module")
def story() -> tuple[SimulatedExchange, list[dict[str, Any]]]:
    return run(90)


def of(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [message["data"] for message in messages if message["stream"] == stream]


def test_the_same_seed_and_clock_give_the_same_messages():
    assert run(3)[1] == run(3)[1]
    assert run(3)[1] != run(3, seed=6)[1]


def test_trade_ids_are_contiguous_and_times_never_fall(story: tuple[SimulatedExchange, list[dict[str, Any]]]):
    trades = of(story[1], "btcusdt@trade")
    assert len(trades) > 1_000
    assert [trade["t"] for trade in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))
    assert [trade["T"] for trade in trades] == sorted(trade["T"] for trade in trades)
    assert all(Decimal(trade["p"]) > 0 and Decimal(trade["q"]) > 0 for trade in trades)


def test_aggregates_cover_every_trade_once(story: tuple[SimulatedExchange, list[dict[str, Any]]]):
    trades, aggregates = of(story[1], "btcusdt@trade"), of(story[1], "btcusdt@aggTrade")
    assert [a["a"] for a in aggregates] == list(range(aggregates[0]["a"], aggregates[0]["a"] + len(aggregates)))
    by_id = {trade["t"]: trade for trade in trades}
    expected = trades[0]["t"]
    for aggregate in aggregates:
        assert aggregate["f"] == expected
        parts = [by_id[number] for number in range(aggregate["f"], aggregate["l"] + 1)]
        assert {part["p"] for part in parts} == {aggregate["p"]}
        assert sum(Decimal(part["q"]) for part in parts) == Decimal(aggregate["q"])
        expected = aggregate["l"] + 1


@pytest.mark.parametrize(("interval", "length"), [("1s", 1_000), ("1m", 60_000)])
def test_closed_candles_are_what_the_trades_make(
    story: tuple[SimulatedExchange, list[dict[str, Any]]], interval: str, length: int
):
    trades = of(story[1], "btcusdt@trade")
    closed = [message["k"] for message in of(story[1], f"btcusdt@kline_{interval}") if message["k"]["x"]]
    assert len(closed) >= 1
    assert [k["t"] for k in closed] == list(range(closed[0]["t"], closed[0]["t"] + length * len(closed), length))
    for k in closed:
        inside = [trade for trade in trades if k["t"] <= trade["T"] <= k["T"]]
        assert k["n"] == len(inside)
        assert Decimal(k["v"]) == sum(Decimal(trade["q"]) for trade in inside)
        if inside:
            prices = [Decimal(trade["p"]) for trade in inside]
            values = (Decimal(k["o"]), Decimal(k["h"]), Decimal(k["l"]), Decimal(k["c"]))
            assert values == (prices[0], max(prices), min(prices), prices[-1])
            assert (k["f"], k["L"]) == (inside[0]["t"], inside[-1]["t"])
            bought = sum(Decimal(trade["q"]) for trade in inside if not trade["m"])
            assert Decimal(k["V"]) == bought


def test_the_day_ticker_sums_the_trades_so_far(story: tuple[SimulatedExchange, list[dict[str, Any]]]):
    trades = of(story[1], "btcusdt@trade")
    for ticker in of(story[1], "btcusdt@ticker")[5::20]:
        so_far = [trade for trade in trades if trade["T"] < ticker["E"]]
        prices = [Decimal(trade["p"]) for trade in so_far]
        assert ticker["n"] == len(so_far)
        assert Decimal(ticker["v"]) == sum(Decimal(trade["q"]) for trade in so_far)
        assert Decimal(ticker["h"]) == max(prices)
        assert Decimal(ticker["l"]) == min(prices)
        assert Decimal(ticker["c"]) == prices[-1]
        assert Decimal(ticker["p"]) == Decimal(ticker["c"]) - Decimal(ticker["o"])


def test_depth_updates_are_contiguous_and_lead_to_the_book_itself(
    story: tuple[SimulatedExchange, list[dict[str, Any]]],
):
    exchange, messages = story
    updates = of(messages, "btcusdt@depth@100ms")
    assert all(after["U"] == before["u"] + 1 for before, after in itertools.pairwise(updates))
    market = exchange.markets["BTCUSDT"]
    final = json.loads(market.snapshot(5_000))
    touched: dict[tuple[str, str], str] = {}
    for update in updates:
        for side in "ba":
            touched.update({(side, price): amount for price, amount in update[side]})
    book = {("b", p): q for p, q in final["bids"]} | {("a", p): q for p, q in final["asks"]}
    if updates[-1]["u"] == final["lastUpdateId"]:
        for key, amount in touched.items():
            assert Decimal(book.get(key, "0")) == Decimal(amount)


def test_the_best_prices_are_those_of_the_book(story: tuple[SimulatedExchange, list[dict[str, Any]]]):
    exchange, messages = story
    last = of(messages, "btcusdt@bookTicker")[-1]
    final = json.loads(exchange.markets["BTCUSDT"].snapshot(1))
    assert [[last["b"], last["B"]], [last["a"], last["A"]]] == [final["bids"][0], final["asks"][0]]
    spreads = [Decimal(q["a"]) - Decimal(q["b"]) for q in of(messages, "btcusdt@bookTicker")]
    assert min(spreads) >= Decimal("0.01")
    assert sorted(spreads)[len(spreads) // 2] <= Decimal("0.10")


def test_volatility_clusters():
    exchange, messages = run(120, rate=2_000)
    closes = [Decimal(m["k"]["c"]) for m in of(messages, "btcusdt@kline_1s") if m["k"]["x"]]
    moves = [abs(b - a) for a, b in itertools.pairwise(closes)]
    half = sorted(moves)[len(moves) // 2]
    quiet_after_quiet = [b for a, b in itertools.pairwise(moves) if a <= half]
    loud_after_loud = [b for a, b in itertools.pairwise(moves) if a > half]
    assert sum(loud_after_loud) / len(loud_after_loud) > sum(quiet_after_quiet) / len(quiet_after_quiet)
    assert exchange.events == 120 * 2_000
