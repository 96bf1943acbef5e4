"""Kraken's REST answers: pairs, history in order, what an answer says about limits."""

import gzip
import json

import pytest
from kraken_payloads import PAIRS, answered, listed

from bus.clock import SECOND
from bus.errors import MalformedFrame
from daemon.exchanges.base import FeedKey, Span, Standing
from daemon.exchanges.kraken_rest import LOCKOUT, PAGE

START = 1_762_795_440 * SECOND
MINUTE = 60 * SECOND
TRADES = FeedKey("BTC/USD", "trade")


class Venue:
    """Answers calls for trades as Kraken does: after `since`, with the last one's time to go on from."""

    def __init__(self, times: dict[int, int]) -> None:
        self.times = times
        """id → ns"""
        self.calls = 0

    def answer(self, request) -> str:
        self.calls += 1
        since, count = int(request.params["since"]), int(request.params["count"])
        found = [(i, t) for i, t in self.times.items() if t > since][:count]
        rows = [["10.5", "1", round(t / SECOND, 4), "b" if i % 2 else "s", "l", "", i] for i, t in found]
        return answered({"XXBTZUSD": rows, "last": str(found[-1][1] if found else since)})


def fetch(kraken, venue: Venue, span: Span) -> list[int]:
    request, found = kraken.history(TRADES, span), []
    while request is not None:
        assert (request.path, request.params["pair"]) == ("/0/public/Trades", "XBTUSD")
        page = kraken.page(request, venue.answer(request), START)
        found += [int(event.id) for event in page.events]
        request = page.next
    return found


def test_pairs_have_unified_names_and_rules():
    found = listed().instruments
    assert {symbol: (i.native, i.kind, i.active) for symbol, i in found.items()} == {
        "BTC/USD": ("BTC/USD", "spot", True),
        "DOGE/USD": ("DOGE/USD", "spot", False),
        "MATIC/USD": ("MATIC/USD", "spot", True),
    }
    bitcoin, doge = found["BTC/USD"], found["DOGE/USD"]
    assert (bitcoin.tick_size, bitcoin.lot_size, bitcoin.min_amount, bitcoin.min_notional) == (
        "0.1", "0.00000001", "0.00005", "0.5",
    )  # fmt: skip
    assert (doge.tick_size, doge.min_notional) == ("0.0000001", None)


def test_what_is_listed_no_more_is_not_active():
    kraken = listed()
    (request,) = kraken.instruments_requests()
    kraken.answer(request, answered({"XXBTZUSD": PAIRS["XXBTZUSD"]}), 1)
    assert not kraken.instruments["MATIC/USD"].active
    assert kraken.instruments["BTC/USD"].active


def test_trades_of_a_time_span_come_whole_and_in_order():
    times = {n: START + n * SECOND for n in range(1, 3 * PAGE)}
    venue, span = Venue(times), Span(START + 5 * SECOND, START + (2 * PAGE + 500) * SECOND)
    assert fetch(listed(), venue, span) == list(range(5, 2 * PAGE + 501))
    assert venue.calls == 3


def test_trades_whose_ids_are_known_are_told_apart_within_one_instant():
    times = {n: START + n // 500 * SECOND for n in range(4000)}
    span = Span(START + SECOND, START + 7 * SECOND, "700", "3600")
    assert fetch(listed(), Venue(times), span) == list(range(700, 3601))


def test_a_history_that_ends_before_the_span_does_is_not_asked_for_ever():
    venue = Venue({n: START + n * SECOND for n in range(1, 10)})
    assert fetch(listed(), venue, Span(START, START + MINUTE)) == list(range(1, 10))
    assert venue.calls == 1
    crowd = Venue(dict.fromkeys(range(1, 2 * PAGE), START + SECOND))  # more in one instant than a page holds
    assert fetch(listed(), crowd, Span(START, START + MINUTE))[:PAGE] == list(range(1, PAGE + 1))
    assert crowd.calls < 4


def test_a_recorded_page_of_trades_is_read_whole(recordings):
    body = gzip.decompress((recordings / "candles" / "kraken_XBTUSDT_trades_rest_20251110.json.gz").read_bytes())
    rows = json.loads(body)["result"]["XBTUSDT"]
    kraken = listed()
    events = kraken.page(kraken.history(TRADES, Span(1, 2**62)), body, START).events
    assert [(e.id, e.price, e.amount, e.side[0]) for e in events] == [(str(r[6]), r[0], r[1], r[3]) for r in rows]
    assert all(abs(e.ts - r[2] * 1e9) < 1000 for e, r in zip(events, rows, strict=True))
    assert events[-1].ts == 1_762_820_035_982_277_900


def test_recorded_candles_are_read_whole(recordings):
    body = gzip.decompress((recordings / "candles" / "kraken_XBTUSDT_ohlc_1m_rest_20251110.json.gz").read_bytes())
    rows = json.loads(body)["result"]["XBTUSDT"]
    kraken = listed()
    recv = rows[-1][0] * SECOND + 30 * SECOND
    page = kraken.page(kraken.history(FeedKey("BTC/USD", "candle", "1m"), Span(1, 2**62)), body, recv)
    assert [(c.open_ts, c.open, c.close, c.volume, c.trades) for c in page.events] == [
        (row[0] * SECOND, row[1], row[4], row[6], row[7]) for row in rows
    ]
    assert [c.closed for c in page.events] == [True] * (len(rows) - 1) + [False]
    assert page.next is None


def test_candles_are_asked_for_from_before_the_span():
    request = listed().history(FeedKey("BTC/USD", "candle", "5m"), Span(START, START + 10 * MINUTE))
    assert (request.path, request.params) == (
        "/0/public/OHLC", {"pair": "XBTUSD", "interval": "5", "since": str(START // SECOND - 300)},
    )  # fmt: skip


@pytest.mark.parametrize("channel", ["book", "ticker"])
def test_of_other_channels_there_is_no_history(channel):
    assert listed().history(FeedKey("BTC/USD", channel), Span(1, 2)) is None


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"error":["EQuery:Unknown asset pair"]}', answered({"X": [[1]], "last": "1"}), answered({"X": []})],
)
def test_an_answer_that_cannot_be_read_is_malformed(body):
    kraken = listed()
    with pytest.raises(MalformedFrame, match=r"answer of /0/public/Trades"):
        kraken.page(kraken.history(TRADES, Span(1, 2)), body, 1)


@pytest.mark.parametrize("body", ["", "[]", '{"error":["EGeneral:Internal error"]}', answered({"X": {"base": 1}})])
def test_a_list_that_cannot_be_read_is_malformed(body):
    kraken = listed()
    with pytest.raises(MalformedFrame, match=r"answer of /0/public/AssetPairs"):
        kraken.answer(kraken.instruments_requests()[0], body, 1)


def said(*errors: str) -> bytes:
    return json.dumps({"error": errors}).encode()


NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, said(), Standing("ok")),
        (200, said("WDatabase:No change"), Standing("ok")),
        (200, said("EAPI:Rate limit exceeded"), Standing("limited")),
        (200, said("EGeneral:Too many requests"), Standing("limited")),
        (200, said("EService:Throttled: 1700000003"), Standing("limited", 3)),
        (200, said("EGeneral:Temporary lockout"), Standing("banned", LOCKOUT)),
        (200, said("EService:Unavailable"), Standing("failed")),
        (200, said("EGeneral:Internal error"), Standing("failed")),
        (200, said("EQuery:Unknown asset pair"), Standing("refused")),
        (200, b"<html>", Standing("failed")),
        (429, b"", Standing("limited")),
        (520, b"", Standing("failed")),
        (403, b"", Standing("refused")),
    ],
)
def test_what_an_answer_says_about_how_we_stand(status, body, expected):
    assert listed().standing(status, {}, body, NOW) == expected
