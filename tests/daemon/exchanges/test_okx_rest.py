"""OKX's REST answers: instruments, history in order, what an answer says about limits."""

import json

import pytest
from okx_payloads import LISTS, answered, listed

from bus.clock import SECOND
from bus.errors import MalformedFrame
from daemon.exchanges.base import FeedKey, Span, Standing

MINUTE = 60 * SECOND
START = 1_700_000_040 * SECOND
"""A whole minute."""
TRADES = FeedKey("BTC/USDT:USDT", "trade")


def ms(time: int) -> str:
    return str(time // 1_000_000)


def row(identity: int) -> dict:
    """Trade `identity` of one a second, number 1000 at START."""
    time = ms(START + (identity - 1000) * SECOND)
    return {"instId": "BTC-USDT-SWAP", "tradeId": str(identity), "px": "10", "sz": "1", "side": "sell", "ts": time}


class Venue:
    """Answers history calls as OKX does: newest first, `after` excluded."""

    def __init__(self, ids) -> None:
        self.rows = [row(identity) for identity in sorted(ids, reverse=True)]

    def answer(self, request) -> str:
        key = {"1": "tradeId", "2": "ts"}[request.params["type"]]
        found = [r for r in self.rows if int(r[key]) < int(request.params["after"])]
        return answered(found[: int(request.params["limit"])])


def fetch(okx, venue: Venue, span: Span) -> list[int]:
    request, found = okx.history(TRADES, span), []
    while request is not None:
        page = okx.page(request, venue.answer(request), START)
        found += [int(event.id) for event in page.events]
        request = page.next
    return found


def test_instruments_have_unified_names_and_rules():
    found = listed().instruments
    assert {symbol: (i.native, i.kind, i.contract_size, i.active) for symbol, i in found.items()} == {
        "BTC/USDT": ("BTC-USDT", "spot", None, True),
        "BTC/USDT:USDT": ("BTC-USDT-SWAP", "linear", "0.01", True),
        "BTC/USD:BTC": ("BTC-USD-SWAP", "inverse", "100", False),
        "BTC/USD:BTC-241227": ("BTC-USD-241227", "future", "100", True),
    }
    spot = found["BTC/USDT"]
    assert (spot.tick_size, spot.lot_size, spot.min_amount, spot.min_notional) == ("0.1", "0.00000001", "0.00001", None)


def test_what_is_listed_no_more_is_not_active():
    okx = listed()
    okx.answer(okx.instruments_requests()[1], answered(LISTS["SWAP"][1:]), 1)
    assert not okx.instruments["BTC/USDT:USDT"].active
    assert okx.instruments["BTC/USDT"].active


@pytest.mark.parametrize("step", [1, 3])
def test_trades_of_a_time_span_come_whole_and_in_order(step):
    ids = range(10, 2000, step)
    span = Span(START + 5 * SECOND, START + 355 * SECOND)
    assert fetch(listed(), Venue(ids), span) == [i for i in ids if 1005 <= i <= 1355]


def test_trades_whose_ids_are_known_are_asked_for_by_id():
    okx = listed()
    assert fetch(okx, Venue(range(10, 2000)), Span(1, 2, "500", "700")) == list(range(500, 701))
    assert okx.history(TRADES, Span(1, 2, "500", "700")).params == {
        "instId": "BTC-USDT-SWAP", "type": "1", "after": "600", "limit": "100",
    }  # fmt: skip


def test_of_a_span_that_history_does_not_reach_nothing_comes():
    assert fetch(listed(), Venue(range(1100, 1200)), Span(START, START + MINUTE)) == []
    assert fetch(listed(), Venue([900, 1100]), Span(START, START + MINUTE)) == []


def test_aggregates_have_no_history():
    assert listed(trades="aggregate").history(TRADES, Span(1, 2)) is None


def test_candles_of_a_long_span_are_asked_for_in_pieces_and_come_in_order():
    okx, feed = listed(), FeedKey("BTC/USDT:USDT", "candle", "1m")
    request = okx.history(feed, Span(START, START + 150 * MINUTE - 1))
    assert request.params == {
        "instId": "BTC-USDT-SWAP", "bar": "1m", "before": str(int(ms(START)) - 1),
        "after": ms(START + 100 * MINUTE), "limit": "100",
    }  # fmt: skip
    rows = [[ms(START + n * MINUTE), "3", "4", "2", "3.5", "10", "1", "35", str(int(n < 2))] for n in (2, 1, 0, -1)]
    page = okx.page(request, answered(rows), START)
    assert [(c.open_ts, c.closed, c.source) for c in page.events] == [
        (START, True, "backfill"), (START + MINUTE, True, "backfill"), (START + 2 * MINUTE, False, "backfill"),
    ]  # fmt: skip
    assert page.next.params["after"] == ms(START + 150 * MINUTE)
    assert okx.page(page.next, answered([]), START).next is None


def test_funding_rates_are_those_that_were_paid():
    okx = listed()
    request = okx.history(FeedKey("BTC/USDT:USDT", "funding"), Span(START, START + MINUTE * 10))
    rows = [
        {"fundingRate": "0.1", "realizedRate": "-0.0001", "fundingTime": ms(START + n * MINUTE), "instType": "SWAP"}
        for n in (9, 1)
    ]
    page = okx.page(request, answered(rows), START)
    assert [(f.ts, f.rate) for f in page.events] == [(START + MINUTE, "-0.0001"), (START + 9 * MINUTE, "-0.0001")]
    assert page.next is None


@pytest.mark.parametrize("channel", ["book", "ticker", "mark_price", "open_interest", "liquidation"])
def test_of_other_channels_there_is_no_history(channel):
    assert listed().history(FeedKey("BTC/USDT:USDT", channel), Span(1, 2)) is None


@pytest.mark.parametrize("body", ["", "[]", '{"code":"51001","msg":"no","data":[]}', answered([{"a": 1}])])
def test_an_answer_that_cannot_be_read_is_malformed(body):
    okx = listed()
    with pytest.raises(MalformedFrame, match=r"answer of /api/v5/market/history-trades"):
        okx.page(okx.history(TRADES, Span(1, 2)), body, 1)
    with pytest.raises(MalformedFrame, match=r"answer of /api/v5/public/instruments"):
        okx.answer(okx.instruments_requests()[0], body, 1)


def code(number: str) -> bytes:
    return json.dumps({"code": number, "msg": "", "data": []}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, code("0"), Standing("ok")),
        (429, code("50011"), Standing("limited", 2)),
        (200, code("50011"), Standing("limited", 2)),
        (503, code("50001"), Standing("failed")),
        (200, code("50026"), Standing("failed")),
        (200, code("51001"), Standing("refused")),
        (400, code("50014"), Standing("refused")),
        (200, b"<html>", Standing("failed")),
        (429, b"", Standing("limited")),
        (502, b"<html>", Standing("failed")),
        (403, b"", Standing("refused")),
    ],
)
def test_what_an_answer_says_about_how_we_stand(status, body, expected):
    assert listed().standing(status, {}, body, 1) == expected
