"""Lists of instruments in parts and pages, asked for again and again."""

import pytest

from bus.errors import ConfigError
from daemon.exchanges.base import Instrument
from daemon.exchanges.listings import Listings


def instrument(symbol: str, native: str = "", *, active: bool = True) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument("x", symbol, native or base + quote, base, quote, "spot", active)


def active(listings: Listings) -> set[str]:
    return {symbol for symbol, known in listings.instruments.items() if known.active}


def test_what_a_part_names_no_more_is_not_active_and_comes_back():
    listings = Listings("x", "A/B")
    listings.take("one", [instrument("A/B"), instrument("C/B")])
    listings.take("two", [instrument("D/B")])
    listings.take("one", [instrument("A/B")])
    assert active(listings) == {"A/B", "D/B"}
    assert listings.find("C/B").native == "CB"
    listings.take("one", [instrument("C/B")])
    assert active(listings) == {"C/B", "D/B"}


def test_nothing_is_missing_before_the_last_page():
    listings = Listings("x", "A/B")
    for _ in range(2):
        listings.take("one", [instrument("A/B")], last=False)
        listings.take("one", [instrument("C/B")], first=False)
        assert active(listings) == {"A/B", "C/B"}
    listings.take("one", [instrument("A/B")], last=False)
    assert active(listings) == {"A/B", "C/B"}
    listings.take("one", [], first=False)
    assert active(listings) == {"A/B"}


def test_a_living_market_keeps_its_name_from_a_delisted_one():
    listings = Listings("x", "A/B")
    listings.take("one", [instrument("A/B", "new"), instrument("A/B", "old", active=False)])
    assert listings.find("A/B").native == "new"
    listings.take("one", [instrument("A/B", "new", active=False)])
    assert active(listings) == set()


def test_an_unknown_symbol_is_answered_with_the_nearest():
    listings = Listings("x", "BTC/USDT")
    with pytest.raises(ConfigError, match="x has no symbol 'ETH/USDT'; symbols look like BTC/USDT"):
        listings.find("ETH/USDT")
    listings.take("one", [instrument("ETH/USDT")])
    with pytest.raises(ConfigError, match="did you mean ETH/USDT"):
        listings.find("ETH/UDST")
