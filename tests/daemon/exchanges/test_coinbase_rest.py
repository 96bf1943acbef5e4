"""Coinbase's REST answers: products, history in order, polled candles."""

import json
from datetime import UTC, datetime

import pytest
from coinbase_payloads import PRODUCTS, bar, item, listed
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.errors import MalformedFrame
from daemon.exchanges.base import FeedKey, Span, Standing
from daemon.exchanges.coinbase_rest import PAGE

START = 1_700_000_100 * SECOND
"""A multiple of 5 minutes."""
MINUTE = 60 * SECOND
TRADES = FeedKey("BTC/USD", "trade")


def rfc3339(ns: int) -> str:
    return datetime.fromtimestamp(ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % SECOND:09}Z"


class Venue:
    """Answers calls for trades as Coinbase does: of a time, newest first, the oldest left out."""

    def __init__(self, times: dict[int, int]) -> None:
        self.times = times
        """id → ns"""
        self.calls = 0

    def answer(self, request) -> str:
        self.calls += 1
        start, end = (int(request.params[name]) * SECOND for name in ("start", "end"))
        found = [(i, t) for i, t in sorted(self.times.items(), reverse=True) if start <= t <= end]
        rows = [item(i, time=rfc3339(t)) for i, t in found[: int(request.params["limit"])]]
        return json.dumps({"trades": rows, "best_bid": "1", "best_ask": "2"})


def fetch(coinbase, venue: Venue, span: Span) -> list[int]:
    request, found = coinbase.history(TRADES, span), []
    while request is not None:
        assert request.path == "/api/v3/brokerage/market/products/BTC-USD/ticker"
        page = coinbase.page(request, venue.answer(request), START)
        found += [int(event.id) for event in page.events]
        request = page.next
        assert venue.calls < 1000
    return found


def test_products_have_unified_names_and_rules():
    found = listed().instruments
    assert {symbol: (i.native, i.kind, i.active) for symbol, i in found.items()} == {
        "BTC/USD": ("BTC-USD", "spot", True),
        "BTC/USDC": ("BTC-USDC", "spot", True),
        "CELO/EUR": ("CGLD-EUR", "spot", False),
    }
    bitcoin = found["BTC/USD"]
    assert (bitcoin.tick_size, bitcoin.lot_size, bitcoin.min_amount, bitcoin.min_notional) == (
        "0.01", "0.00000001", "0.00000001", "1",
    )  # fmt: skip
    assert (found["CELO/EUR"].tick_size, found["CELO/EUR"].min_amount) == ("0.001", None)


def test_what_is_listed_no_more_is_not_active():
    coinbase = listed()
    (request,) = coinbase.instruments_requests()
    coinbase.answer(request, json.dumps({"products": PRODUCTS[:1]}), 1)
    assert not coinbase.instruments["BTC/USDC"].active
    assert coinbase.instruments["BTC/USD"].active


def test_trades_of_a_time_span_come_whole_and_in_order():
    times = {n: START + n * SECOND // 50 for n in range(1, 30_000)}
    span = Span(START + 5 * SECOND, START + 400 * SECOND)
    assert fetch(listed(), Venue(times), span) == list(range(250, 20_001))


def test_a_quiet_time_costs_few_calls():
    venue = Venue({1: START, 2: START + 20 * 86_400 * SECOND})
    assert fetch(listed(), venue, Span(START, START + 30 * 86_400 * SECOND)) == [1, 2]
    assert venue.calls < 60


def test_ids_tell_trades_of_one_instant_apart():
    times = {n: START + n // 500 * SECOND for n in range(4000)}
    span = Span(START + SECOND, START + 7 * SECOND, "700", "3600")
    assert fetch(listed(), Venue(times), span) == list(range(700, 3601))


def test_where_ids_are_known_an_answer_that_was_cut_short_shows(monkeypatch):
    venue = Venue({n: START + n * SECOND for n in range(500)})
    answer = venue.answer
    venue.answer = lambda request: json.dumps({"trades": json.loads(answer(request))["trades"][:40]})
    span = Span(START, START + 499 * SECOND, "10", "480")
    assert fetch(listed(), venue, span) == list(range(10, 481))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from([0, 1, 10_000_000, SECOND, 90 * SECOND]), max_size=300),
    crowd=st.integers(0, 900),
    begin=st.integers(0, 100),
    length=st.integers(0, 5_000),
)
def test_whatever_the_density_pages_join(steps, crowd, begin, length):
    times, now = {}, START
    for identity, step in enumerate([*steps, *[0] * crowd, *steps]):
        now += step
        times[identity] = now
    span = Span(START + begin * SECOND, START + (begin + length) * SECOND)
    assert fetch(listed(), Venue(times), span) == [i for i, t in times.items() if span.start <= t <= span.end]


def test_more_trades_in_a_second_than_an_answer_holds_end_all_the_same():
    found = fetch(listed(), Venue(dict.fromkeys(range(3 * PAGE), START)), Span(START, START + MINUTE))
    assert found == list(range(2 * PAGE, 3 * PAGE))


def test_candles_of_a_long_span_are_asked_for_in_pieces_and_come_in_order():
    coinbase = listed()
    span = Span(START, START + 450 * MINUTE - 1)
    request = coinbase.history(FeedKey("BTC/USD", "candle", "1m"), span)
    assert (request.path, request.params) == (
        "/api/v3/brokerage/market/products/BTC-USD/candles",
        {
            "start": str(START // SECOND), "end": str(START // SECOND + 300 * 60 - 1), "granularity": "ONE_MINUTE",
            "limit": "300",
        },
    )  # fmt: skip
    bars = [bar(START // SECOND + n * 60) for n in (2, 1, 0, -1)]
    page = coinbase.page(request, json.dumps({"candles": bars}), START + 2 * MINUTE)
    assert [(c.open_ts, c.closed, c.source) for c in page.events] == [
        (START, True, "backfill"), (START + MINUTE, True, "backfill"), (START + 2 * MINUTE, False, "backfill"),
    ]  # fmt: skip
    assert page.next.params["start"] == str(START // SECOND + 300 * 60)
    assert coinbase.page(page.next, json.dumps({"candles": []}), START).next is None


def test_candles_of_other_lengths_are_polled():
    coinbase, feed = listed(), FeedKey("BTC/USD", "candle", "1m")
    (request,) = coinbase.instruments_requests()
    coinbase.answer(request, json.dumps({"products": PRODUCTS}), START + 130 * SECOND)
    poll = coinbase.polls(feed)
    assert (poll.params["start"], poll.params["granularity"]) == (str(START // SECOND), "ONE_MINUTE")
    assert (int(poll.params["end"]) - int(poll.params["start"])) // 60 < 350
    first, second = bar(START // SECOND + 60), bar(START // SECOND + 120, "0.1")
    (running,) = coinbase.answer(poll, json.dumps({"candles": [second, first]}), START + 150 * SECOND)
    assert (running.open_ts, running.closed, running.source) == (START + 2 * MINUTE, False, "rest")
    again = [bar(START // SECOND + 180, "0.1"), second | {"volume": "0.2"}, first]
    closed, running = coinbase.answer(poll, json.dumps({"candles": again}), START + 190 * SECOND)
    assert (closed.open_ts, closed.volume, closed.closed) == (START + 2 * MINUTE, "0.2", True)
    assert (running.open_ts, running.closed) == (START + 3 * MINUTE, False)
    assert coinbase.answer(poll, json.dumps({"candles": again}), START + 200 * SECOND) == []
    assert coinbase.polls(feed).params["start"] == str(START // SECOND + 60)


@pytest.mark.parametrize("channel", ["book", "ticker"])
def test_of_other_channels_there_is_no_history(channel):
    assert listed().history(FeedKey("BTC/USD", channel), Span(1, 2)) is None


@pytest.mark.parametrize("body", ["", "[]", '{"trades":[{"a":1}]}', json.dumps({"trades": [item(1, price="0")]})])
def test_an_answer_that_cannot_be_read_is_malformed(body):
    coinbase = listed()
    with pytest.raises(MalformedFrame, match=r"answer of /api/v3/brokerage/market/products/BTC-USD/ticker"):
        coinbase.page(coinbase.history(TRADES, Span(1, 2)), body, 1)
    with pytest.raises(MalformedFrame, match=r"answer of /api/v3/brokerage/market/products"):
        coinbase.answer(coinbase.instruments_requests()[0], body, 1)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, Standing("ok")),
        (429, {"Retry-After": "3"}, Standing("limited", 3)),
        (404, {}, Standing("refused")),
        (503, {}, Standing("failed")),
    ],
)
def test_what_an_answer_says_about_how_we_stand(status, headers, expected):
    assert listed().standing(status, headers, b"{}", 1) == expected
