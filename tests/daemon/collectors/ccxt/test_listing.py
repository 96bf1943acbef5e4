"""ccxt's markets become instruments: unified symbols, steps and limits for spot, linear, inverse and dated ones."""

import pytest

from bus.clock import ManualClock
from bus.errors import ExchangeUnavailable, MalformedFrame
from daemon.collectors.ccxt.listing import CcxtListing, instrument_of
from daemon.collectors.listing import INTERVAL
from tests.daemon.collectors.helpers import Highest

SIGNIFICANT_DIGITS, DECIMAL_PLACES, TICK_SIZE = 3, 2, 4


def market(symbol: str = "BTC/USDT", **more) -> dict:
    base, quote = symbol.partition(":")[0].split("/")
    kind = {"spot": False, "swap": False, "future": False, "option": False, "inverse": False}
    return {
        "symbol": symbol, "id": symbol.replace("/", "_"), "base": base, "quote": quote, **kind,
        "precision": {"price": "0.01", "amount": "0.00001"}, "active": True,
        "limits": {"amount": {"min": "0.0001"}, "cost": {"min": "5"}}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "is_a", "kind"),
    [
        ("BTC/USDT", {"spot": True}, "spot"),
        ("BTC/USDT:USDT", {"swap": True, "linear": True, "contractSize": "0.001"}, "linear"),
        ("BTC/USD:BTC", {"swap": True, "inverse": True, "contractSize": "1"}, "inverse"),
        ("BTC/USD:BTC-281229", {"future": True, "inverse": True, "contractSize": "1"}, "future"),
    ],
)
def test_each_kind_of_market(symbol, is_a, kind):
    one = instrument_of("gate", market(symbol, **is_a), TICK_SIZE)
    assert (one.symbol, one.kind, one.base, one.quote) == (symbol, kind, "BTC", symbol[4:].partition(":")[0])
    assert (one.tick_size, one.lot_size, one.min_amount, one.min_notional) == ("0.01", "0.00001", "0.0001", "5")
    assert one.contract_size == is_a.get("contractSize")


def test_options_are_left_out():
    assert instrument_of("gate", market("BTC/USD:BTC-281229-50000-C", option=True), TICK_SIZE) is None


@pytest.mark.parametrize(
    ("mode", "precision", "step"),
    [
        (TICK_SIZE, "0.010", "0.010"),
        (TICK_SIZE, 1e-08, "0.00000001"),
        (TICK_SIZE, None, None),
        (TICK_SIZE, "0", None),
        (DECIMAL_PLACES, 3, "0.001"),
        (DECIMAL_PLACES, 0, "1"),
        (DECIMAL_PLACES, -2, "100"),
        (DECIMAL_PLACES, "8", "0.00000001"),
        (SIGNIFICANT_DIGITS, 5, None),
    ],
)
def test_steps_in_each_of_ccxts_ways_to_state_precision(mode, precision, step):
    one = instrument_of("gate", market(spot=True, precision={"price": precision}), mode)
    assert one.tick_size == step


def test_limits_that_are_not_there_are_none():
    one = instrument_of("gate", market(spot=True, precision=None, limits=None, active=None), TICK_SIZE)
    assert (one.tick_size, one.min_amount, one.min_notional, one.active) == (None, None, None, True)


def test_a_market_with_a_broken_number_is_malformed():
    with pytest.raises(MalformedFrame):
        instrument_of("gate", market(spot=True, precision={"price": "cheap"}), TICK_SIZE)


class Exchange:
    """Answers with the markets of the day."""

    def __init__(self, *markets: dict) -> None:
        self.markets = markets
        self.asked = 0

    async def ask(self):
        self.asked += 1
        if not self.markets:
            raise ExchangeUnavailable("gate: down")
        return {str(number): one for number, one in enumerate(self.markets)}, TICK_SIZE


async def test_a_symbol_that_is_listed_no_more_stays_known_as_inactive():
    exchange = Exchange(
        market("BTC/USDT", spot=True), market("ETH/USDT", spot=True), market("X/Y", spot=True, base=None)
    )
    listing = CcxtListing("gate", exchange.ask, ManualClock(), Highest())
    assert await listing.load() == ""
    exchange.markets = (market("BTC/USDT", spot=True), market("BAD/USDT", spot=True, precision={"price": "cheap"}))
    assert await listing.load() == ""
    assert {symbol: one.active for symbol, one in listing.instruments.items()} == {"BTC/USDT": True, "ETH/USDT": False}
    exchange.markets = ()
    assert await listing.load() == "gate: down"
    assert len(listing.instruments) == 2
    exchange.markets = (market(option=True),)
    assert await listing.load() == "the answer names no symbol"
    assert listing.loads == 2


async def test_the_list_is_asked_for_again_in_time():
    exchange, clock = Exchange(market(spot=True)), ManualClock()
    listing = CcxtListing("gate", exchange.ask, clock, Highest())
    await listing.load()
    clock.advance(1.2 * INTERVAL)
    await listing.next_load()
    assert exchange.asked == 2
