"""What ccxt makes of messages becomes well-formed events, or a dead letter: never an exception, never a wrong event."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND, ManualClock
from bus.events import Funding, Liquidation, MarkPrice, OpenInterest, Ticker, Trade
from daemon.collectors.board import FeedBoard
from daemon.collectors.ccxt.digits import LocalTime
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey
from tests.daemon.collectors.helpers import ListeningBus

SWAP = "BTC/USDT:USDT"
TIMED = {"symbol": SWAP, "timestamp": 1_700_000_000_123}
CHANNELS = ["trade", "ticker", "book", "candle", "funding", "mark_price", "open_interest", "liquidation"]


def intake_of(bus: ListeningBus) -> CcxtIntake:
    clock = ManualClock()
    outbox = Outbox(bus, clock)
    return CcxtIntake("gate", FeedBoard("gate", outbox, clock), outbox, clock)


async def taken(channel: str, *found, timeframe: str = "") -> tuple[list, list]:
    """What comes of ccxt's results: events and dead letters."""
    bus = ListeningBus()
    intake = intake_of(bus)
    for one in found:
        intake.frame(b"the frame", "wss://gate.example/ws?key=secret")
        intake.take(FeedKey(SWAP, channel, timeframe), one)
    await intake.flush()
    return [event for event in bus.events if event not in bus.dead], bus.dead


async def test_funding_mark_price_open_interest_and_liquidations():
    rate = TIMED | {"fundingRate": "-0.0001", "fundingTimestamp": 1_700_000_800_000}
    ((funding,), _) = await taken("funding", rate)
    assert isinstance(funding, Funding)
    assert (funding.rate, funding.next_ts, funding.ts) == ("-0.0001", 1_700_000_800 * SECOND, 1_700_000_000_123_000_000)
    ((mark,), _) = await taken("mark_price", TIMED | {"markPrice": "50000.10", "indexPrice": "0"})
    assert isinstance(mark, MarkPrice)
    assert (mark.mark, mark.index) == ("50000.10", None)
    ((interest,), _) = await taken("open_interest", TIMED | {"openInterestAmount": "12.50", "openInterestValue": None})
    assert isinstance(interest, OpenInterest)
    assert (interest.amount, interest.value) == ("12.50", None)
    sold = TIMED | {"id": "7", "price": "49000.0", "contracts": None, "baseValue": "0.30", "side": "sell"}
    (liquidations, _) = await taken("liquidation", [sold, sold | {"contracts": "3"}])
    assert [type(one) for one in liquidations] == [Liquidation, Liquidation]
    assert [(one.price, one.amount, one.side) for one in liquidations] == [
        ("49000.0", "0.30", "sell"), ("49000.0", "3", "sell"),
    ]  # fmt: skip


async def test_a_time_that_ccxt_made_up_is_none():
    ((ticker,), _) = await taken("ticker", {"symbol": SWAP, "timestamp": LocalTime(5), "bid": "1", "ask": None})
    assert isinstance(ticker, Ticker)
    assert (ticker.ts, ticker.bid, ticker.ask) == (None, "1", None)


async def test_what_is_another_symbols_is_no_event_and_no_fault():
    other = {"symbol": "ETH/USDT:USDT", "price": "1", "amount": "1", "side": "buy", "timestamp": 5, "id": "1"}
    assert await taken("trade", [other]) == ([], [])
    assert await taken("ticker", {"ETH/USDT:USDT": other | {"bid": "1"}, SWAP: other | {"symbol": SWAP, "bid": "2"}})


async def test_one_malformed_trade_costs_itself_alone_and_is_kept_with_its_frame():
    good = TIMED | {"id": "1", "price": "1.0", "amount": "2", "side": "buy"}
    bad = [good | {"id": "2", "price": "0"}, good | {"id": "3", "side": None}, good | {"id": "4", "amount": "NaN"}]
    events, dead = await taken("trade", [good, *bad, good | {"id": "5"}])
    assert [event.id for event in events] == ["1", "5"]
    assert len(dead) == 3
    assert len({letter.id for letter in dead}) == 3
    assert {letter.payload for letter in dead} == {b"the frame"}
    assert not [letter for letter in dead if "secret" in letter.origin]


async def test_times_of_receipt_rise_for_each_event():
    quote = TIMED | {"bid": "1", "ask": "2"}
    events, _ = await taken("ticker", *[quote] * 5)
    assert len({event.recv for event in events}) == 5
    assert [event.recv for event in events] == sorted(event.recv for event in events)


odd = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.sampled_from(["", "1", "-1", "0", "NaN", "buy", SWAP])
)
names = st.sampled_from([
    "symbol", "id", "price", "amount", "side", "timestamp", "bid", "ask", "last", "bids", "asks", "nonce",
    "fundingRate", "markPrice", "openInterestAmount", "contracts", "baseValue", SWAP,
])  # fmt: skip
structures = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=7) | st.dictionaries(names, inner, max_size=8), max_leaves=25
)


@pytest.mark.parametrize("channel", CHANNELS)
@given(found=st.lists(structures, max_size=4))
async def test_whatever_ccxt_gives_nothing_breaks_and_no_event_is_malformed(channel, found):
    events, _ = await taken(channel, *found, timeframe="1m" if channel == "candle" else "")
    for event in events:
        assert (event.exchange, event.symbol) == ("gate", SWAP)
        assert event.ts is None or isinstance(event.ts, int)
        if isinstance(event, Trade):
            assert Decimal(event.price) > 0 < Decimal(event.amount)
            assert event.side in {"buy", "sell"}
