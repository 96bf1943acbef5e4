"""Bybit's REST answers: instruments page by page, history in order, what an answer says about limits."""

import json

import pytest
from bybit_payloads import LISTS, answered, listed

from bus.clock import SECOND
from bus.errors import MalformedFrame
from daemon.exchanges.base import FeedKey, Span, Standing
from daemon.exchanges.bybit import Bybit

MINUTE = 60 * SECOND
START = 1_700_000_040 * SECOND
"""A whole minute."""
PERPETUAL = FeedKey("BTC/USDT:USDT", "trade")


def ms(time: int) -> str:
    return str(time // 1_000_000)


def test_instruments_have_unified_names_and_rules():
    found = listed().instruments
    assert {symbol: (i.native, i.kind, i.contract_size) for symbol, i in found.items()} == {
        "BTC/USDT": ("BTCUSDT", "spot", None),
        "BTC/USDT:USDT": ("BTCUSDT", "linear", "1"),
        "BTC/USDC:USDC-241227": ("BTC-27DEC24", "future", "1"),
        "BTC/USD:BTC": ("BTCUSD", "inverse", "1"),
        "BTC/USD:BTC-241227": ("BTCUSDZ24", "future", "1"),
    }
    spot, linear = found["BTC/USDT"], found["BTC/USDT:USDT"]
    assert (spot.tick_size, spot.lot_size, spot.min_amount, spot.min_notional) == ("0.01", "0.000001", "0.000048", "1")
    assert (linear.tick_size, linear.lot_size, linear.min_amount, linear.min_notional) == (
        "0.10",
        "0.001",
        "0.001",
        "5",
    )


def test_a_list_of_several_pages_is_read_to_its_end_and_asked_for_again_when_that_fails():
    bybit = Bybit()
    request = bybit.instruments_requests()[1]
    first, second = LISTS["linear"]
    bybit.answer(request, answered([first], "linear", "next"), 1)
    further = bybit.requests.popleft()
    assert further.params == {"category": "linear", "limit": "1000", "cursor": "next"}
    bybit.failed(further)
    assert bybit.requests.popleft() == further
    bybit.answer(further, answered([second], "linear"), 2)
    assert [i.active for i in bybit.instruments.values()] == [True, True]
    assert not bybit.requests


def test_what_is_listed_no_more_is_not_active():
    bybit = listed()
    bybit.answer(bybit.instruments_requests()[1], answered(LISTS["linear"][:1], "linear"), 1)
    assert {symbol for symbol, i in bybit.instruments.items() if not i.active} == {"BTC/USDC:USDC-241227"}


def test_candles_of_a_long_span_are_asked_for_in_pieces_and_come_in_order():
    bybit, feed = listed(), FeedKey("BTC/USDT:USDT", "candle", "1m")
    request = bybit.history(feed, Span(START, START + 1500 * MINUTE - 1))
    assert (request.params["category"], request.params["interval"]) == ("linear", "1")
    assert (request.params["start"], request.params["end"]) == (ms(START), ms(START + 1000 * MINUTE - 1))
    rows = [[ms(START + n * MINUTE), "3", "4", "2", "3.5", "10", "35"] for n in (2, 1, 0, -1)]
    page = bybit.page(request, answered(rows), START + 2 * MINUTE)
    assert [(c.open_ts, c.closed, c.source) for c in page.events] == [
        (START, True, "backfill"), (START + MINUTE, True, "backfill"), (START + 2 * MINUTE, False, "backfill"),
    ]  # fmt: skip
    assert (page.next.params["start"], page.next.params["end"]) == (
        ms(START + 1000 * MINUTE), ms(START + 1500 * MINUTE - 1),
    )  # fmt: skip
    assert bybit.page(page.next, answered([]), START).next is None


def test_trades_are_those_of_the_newest_that_lie_in_the_span():
    bybit = listed()
    request = bybit.history(PERPETUAL, Span(START, START + MINUTE))
    assert (request.path, request.params["limit"]) == ("/v5/market/recent-trade", "1000")
    rows = [
        {
            "execId": str(n),
            "symbol": "BTCUSDT",
            "price": "10",
            "size": "1",
            "side": "Sell",
            "time": ms(START + t * SECOND),
        }
        for n, t in ((4, 61), (3, 60), (2, 30), (1, -1))
    ]
    page = bybit.page(request, answered(rows), START)
    assert [(t.id, t.side, t.source) for t in page.events] == [("2", "sell", "backfill"), ("3", "sell", "backfill")]
    assert page.next is None
    assert bybit.history(FeedKey("BTC/USDT", "trade"), Span(1, 2)).params["limit"] == "60"


def test_funding_rates_come_in_order():
    bybit = listed()
    request = bybit.history(FeedKey("BTC/USDT:USDT", "funding"), Span(START, START + 300 * 60 * MINUTE))
    rows = [
        {"symbol": "BTCUSDT", "fundingRate": "-0.0001", "fundingRateTimestamp": ms(START + n * MINUTE)} for n in (9, 1)
    ]
    page = bybit.page(request, answered(rows), START)
    assert [(f.ts, f.rate) for f in page.events] == [(START + MINUTE, "-0.0001"), (START + 9 * MINUTE, "-0.0001")]
    assert page.next.span.start == START + 200 * 60 * MINUTE - 1_000_000 + 1
    assert bybit.page(page.next, answered([]), START).next is None


@pytest.mark.parametrize("channel", ["book", "ticker", "mark_price", "open_interest", "liquidation"])
def test_of_other_channels_there_is_no_history(channel):
    assert listed().history(FeedKey("BTC/USDT:USDT", channel), Span(1, 2)) is None


@pytest.mark.parametrize("body", ["", "[]", '{"retCode":10001,"retMsg":"no","result":{}}', answered([{"a": 1}])])
def test_an_answer_that_cannot_be_read_is_malformed(body):
    bybit = listed()
    with pytest.raises(MalformedFrame, match=r"answer of /v5/market/recent-trade"):
        bybit.page(bybit.history(PERPETUAL, Span(1, 2)), body, 1)
    with pytest.raises(MalformedFrame, match=r"answer of /v5/market/instruments-info"):
        bybit.answer(bybit.instruments_requests()[0], body, 1)


def code(number: int) -> bytes:
    return json.dumps({"retCode": number, "retMsg": "", "result": {}}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {}, code(0), Standing("ok")),
        (200, {"X-Bapi-Limit-Reset-Timestamp": "12500"}, code(10006), Standing("limited", 2.5)),
        (200, {}, code(10006), Standing("limited")),
        (200, {}, code(10018), Standing("banned", 600)),
        (200, {}, code(10016), Standing("failed")),
        (200, {}, code(10001), Standing("refused")),
        (200, {}, b"<html>", Standing("failed")),
        (403, {}, b"access too frequent", Standing("banned", 600)),
        (403, {}, b"configured to block access from your country", Standing("refused")),
        (429, {"Retry-After": "3"}, b"", Standing("limited", 3)),
        (503, {}, b"", Standing("failed")),
    ],
)
def test_what_an_answer_says_about_how_we_stand(status, headers, body, expected):
    assert listed().standing(status, headers, body, 10 * SECOND) == expected
