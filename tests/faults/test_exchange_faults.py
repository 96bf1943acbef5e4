"""An exchange's messages are malformed, huge, missing, doubled, late or of another time: that feed alone suffers.

Seen in rows, streams, dead letters and metrics. Each exchange's translator for itself meets odd frames in
tests/daemon/exchanges/test_odd_frames.py and the fuzzers beside it. One daemon serves all cases.
"""

from itertools import pairwise
from typing import Any

import msgpack
import pytest

from tests.end_to_end.harness import wait_until
from tests.faults.running import Running
from tests.faults.test_redis_away import rss

TRADE = '{"e":"trade","E":1700000000000,"s":"SOLUSDT","t":1,"p":"PRICE","q":"1","T":1700000000000,"m":true,"M":true}'


def test_a_break_in_one_book_concerns_that_symbol_alone(running: Running):
    since, connects = running.position("book"), running.metric("marketd_connects_total")
    resyncs = running.metric("marketd_book_resyncs_total")
    running.exchange.fault("broken_chain", symbol="BTC/USDT", count=1)
    wait_until("a gap is written for it", lambda: running.gaps("BTC/USDT", "book"))
    wait_until(
        "its book begins anew",
        lambda: running.snapshots("BTC/USDT", since),
    )
    events = running.events("book", "BTC/USDT", since)
    begun = next(i for i, event in enumerate(events) if event["kind"] == "snapshot")
    chain = events[begun:]
    assert all(later["prev_id"] == earlier["last_id"] for earlier, later in pairwise(chain))
    assert running.metric("marketd_book_resyncs_total") == resyncs + 1
    assert running.metric("marketd_connects_total") == connects
    others = running.rows("select symbol from feed_gaps where channel = 'book' and symbol <> 'BTC/USDT'")
    assert not others
    assert not running.snapshots("ETH/USDT", since)


def test_ids_that_start_again_lower_are_a_new_beginning_of_that_book(running: Running):
    since, quotes = running.position("book"), running.position("ticker")
    running.exchange.fault("sequence_reset", symbol="XRP/USDT")
    wait_until(
        "its book begins anew with low ids",
        lambda: [e for e in running.snapshots("XRP/USDT", since) if int(e["last_id"]) < 10**6],
    )
    wait_until("that is a gap", lambda: [gap for gap in running.gaps("XRP/USDT", "book") if "anew" in gap["reason"]])
    named = len(running.gaps("XRP/USDT", "book"))
    running.exchange.fault("drop", symbol="XRP/USDT", channel="book", count=1)
    wait_until("so is the next break", lambda: len(running.gaps("XRP/USDT", "book")) == named + 1)
    wait_until(
        "its quotes, which count likewise, go on",
        lambda: (
            sum(e["bid"] is not None and e["last"] is None for e in running.events("ticker", "XRP/USDT", quotes)) > 20
        ),
    )


def test_a_stream_that_is_behind_the_snapshots_costs_one_of_them(running: Running):
    """Answers of REST are ahead of all that is under way: that is old, and no new beginning."""
    resyncs = running.metric("marketd_book_resyncs_total")
    since = running.position("book")
    running.exchange.fault("drop", symbol="SOL/USDT", channel="book", every=30, count=1)
    number = running.exchange.fault("slow", symbol="SOL/USDT", channel="book", delay=3.0)
    wait_until("its book begins anew", lambda: running.snapshots("SOL/USDT", since))
    (begun,) = running.snapshots("SOL/USDT", since)
    wait_until(
        "the stream reaches it",
        lambda: sum(e["last_id"] > begun["last_id"] for e in running.events("book", "SOL/USDT", since)) > 5,
    )
    assert running.metric("marketd_book_resyncs_total") == resyncs + 1
    running.exchange.control(f"faults/{number}", "DELETE")


def test_a_book_that_stays_crossed_is_noticed_and_begun_anew(running: Running):
    since = running.position("book")
    running.exchange.fault("crossed_book", symbol="ETH/BTC", seconds=30)
    wait_until(
        "the rule speaks",
        lambda: running.rows("select * from quality_flags where symbol = 'ETH/BTC' and rule = 'stuck_crossed_book'"),
        60,
    )
    wait_until("its book begins anew", lambda: running.snapshots("ETH/BTC", since))


@pytest.mark.parametrize("kind", ["drop", "corrupt", "truncate"])
def test_trades_that_do_not_arrive_are_fetched(running: Running, kind: str):
    connects, known = running.metric("marketd_connects_total"), len(running.gaps("SOL/USDT", "trade"))
    number = running.exchange.fault(kind, symbol="SOL/USDT", channel="trade", every=5, count=6)
    wait_until("it has struck", lambda: running.exchange.fired(number) == 6)
    wait_until("gaps are found", lambda: len(running.gaps("SOL/USDT", "trade")) > known)
    wait_until("they are filled", lambda: {gap["state"] for gap in running.gaps("SOL/USDT", "trade")} == {"filled"})
    wait_until("every trade is stored", lambda: running.whole("SOL/USDT"))
    assert running.metric("marketd_connects_total") == connects
    if kind != "drop":
        assert running.metric("marketd_frames_malformed_total", exchange="binance") >= 6
        assert sum(each["handler"] == "parse" for each in letters(running)) >= 6


def letters(running: Running) -> list[dict[str, Any]]:
    """Every dead letter on the bus."""
    return [each for _, fields in running.redis.xrange("md:dead") for each in msgpack.unpackb(fields[b"events"])]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("[", 100_000),
        ("\x00\x01\x02\x7f\xff", 1_000),
        *[(TRADE.replace("PRICE", price), 1) for price in ("NaN", "Infinity", "1e400", "-1", "0", "")],
        (TRADE.replace('"PRICE"', "null"), 1),
    ],
    ids=["nested", "binary", "NaN", "Infinity", "1e400", "negative", "zero", "empty", "null"],
)
def test_a_frame_that_is_no_data_is_set_aside_and_costs_itself_alone(running: Running, text: str, times: int):
    connects, before = running.metric("marketd_connects_total"), len(letters(running))
    malformed = running.metric("marketd_frames_malformed_total", exchange="binance")
    number = running.exchange.fault("replace", symbol="SOL/USDT", channel="trade", count=2, text=text, times=times)
    wait_until("it has struck", lambda: running.exchange.fired(number) == 2)
    wait_until("it is kept", lambda: len(letters(running)) == before + 2)
    for letter in letters(running)[before:]:
        assert letter["handler"] == "parse"
        assert text.encode() in letter["payload"]
    assert running.metric("marketd_frames_malformed_total", exchange="binance") == malformed + 2
    assert running.metric("marketd_connects_total") == connects


def test_a_frame_of_50_mb_is_refused_and_costs_no_trade(running: Running):
    connects, before = running.metric("marketd_connects_total"), len(letters(running))
    memory = rss(running.marketd.process.pid)
    running.exchange.fault("replace", symbol="SOL/USDT", channel="trade", count=1, text="x", times=50_000_000)
    wait_until("it is said", lambda: any("too big" in letter["reason"] for letter in letters(running)[before:]))
    wait_until("it connects again", lambda: running.metric("marketd_connects_total") > connects)
    assert rss(running.marketd.process.pid) < memory + 50e6
    wait_until("no gap is left", lambda: {gap["state"] for gap in running.gaps("SOL/USDT", "trade")} == {"filled"})
    wait_until("every trade is stored", lambda: running.whole("SOL/USDT"))


@pytest.mark.parametrize("kind", ["duplicate", "reorder"])
def test_doubles_and_disorder_are_no_gaps_in_the_end(running: Running, kind: str):
    number = running.exchange.fault(kind, symbol="BNB/USDT", channel="trade", every=4, count=8)
    wait_until("it has struck", lambda: running.exchange.fired(number) == 8)
    wait_until("every trade is stored", lambda: running.whole("BNB/USDT"))
    wait_until("no gap is left", lambda: {gap["state"] for gap in running.gaps("BNB/USDT", "trade")} <= {"filled"})
    streamed = [event["id"] for event in running.events("trade", "BNB/USDT")]
    assert len(streamed) == len(set(streamed))


def test_a_dead_subscription_behind_a_busy_connection_is_subscribed_anew_alone(running: Running):
    connects = running.metric("marketd_connects_total")
    stale = running.metric("marketd_stale_total", channel="ticker")
    number = running.exchange.fault("mute", symbol="ETH/USDT", channel="ticker")
    wait_until("it counts as silent", lambda: running.metric("marketd_stale_total", channel="ticker") > stale)
    since = running.position("ticker")
    running.exchange.control(f"faults/{number}", "DELETE")
    wait_until("it speaks again", lambda: running.events("ticker", "ETH/USDT", since))
    wait_until("the silence is a gap", lambda: running.gaps("ETH/USDT", "ticker"))
    assert running.metric("marketd_connects_total") == connects


def test_an_exchange_whose_clock_is_wrong_is_told_and_the_data_flows_on(running: Running):
    since = running.position("book")
    running.exchange.fault("clock_skew", symbol="BTC/USDT", channel="book", skew=-120)
    flags = "select * from quality_flags where symbol = 'BTC/USDT' and channel = 'book' and rule = 'late_arrival'"
    wait_until("validation says so", lambda: running.rows(flags))
    wait_until("its book flows on", lambda: len(running.events("book", "BTC/USDT", since)) > 20)


@pytest.mark.parametrize(("leap", "rule"), [(3_600, "future_time"), (-3_600, "late_arrival")])
def test_a_leap_in_the_exchanges_time_is_told_and_disturbs_nobody(running: Running, leap: int, rule: str):
    connects, stale = running.metric("marketd_connects_total"), running.metric("marketd_stale_total")
    gaps = "select id from feed_gaps where symbol = 'XRP/USDT'"
    before = running.rows(gaps)
    running.exchange.fault("clock_skew", symbol="XRP/USDT", skew=leap, count=5)
    flags = "select from quality_flags where symbol = 'XRP/USDT' and rule = $1"
    wait_until("validation says so", lambda: running.rows(flags, rule))
    since = running.position("trade")
    wait_until("its trades flow on", lambda: len(running.events("trade", "XRP/USDT", since)) > 20)
    wait_until("every trade is stored", lambda: running.whole("XRP/USDT"))
    assert running.rows(gaps) == before
    assert running.metric("marketd_connects_total") == connects
    assert running.metric("marketd_stale_total") == stale
    assert running.ready() == (200, {})


def test_a_delisted_symbol_stops_alone(running: Running):
    connects = running.metric("marketd_connects_total")
    number = running.exchange.fault("delist", symbol="BNB/USDT")
    since = running.position("trade")
    wait_until("the others go on", lambda: len(running.events("trade", "BTC/USDT", since)) > 30)
    assert running.metric("marketd_connects_total") == connects
    running.exchange.control(f"faults/{number}", "DELETE")
    wait_until("it goes on where it is listed again", lambda: running.events("trade", "BNB/USDT", since))


def test_a_slow_symbol_holds_up_nobody_else(running: Running):
    running.exchange.fault("slow", symbol="BTC/USDT", delay=3.0, seconds=6.0)
    since = running.position("ticker")
    wait_until("another symbol's quotes come", lambda: len(running.events("ticker", "ETH/USDT", since)) > 20, 3)
    assert running.metric("marketd_publish_queue_events") < 1_000
    wait_until("every trade is stored", lambda: running.whole("BTC/USDT"))
