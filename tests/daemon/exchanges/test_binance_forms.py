"""A frame of a known form is checked less, and comes to the same."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.exchanges import binance_family
from daemon.exchanges.binance import Binance
from daemon.exchanges.binance_family import BinanceFamily
from daemon.exchanges.binanceusdm import BinanceUsdm

TRADE = '"e":"%s","E":1672515782136,"s":"BNBBTC","p":"0.0010","q":"100.5","T":1672515782136,"m":true,"%s":12345'
SPOT = [
    '{"stream":"bnbbtc@trade","data":{%s}}' % (TRADE % ("trade", "t")),
    '{"stream":"bnbbtc@aggTrade","data":{%s,"f":100,"l":105}}' % (TRADE % ("aggTrade", "a")),
    '{"stream":"bnbbtc@bookTicker","data":{"u":400900217,"s":"BNBBTC","b":"25.35","B":"31.21","a":"0.36","A":"40.66"}}',
    '{"stream":"bnbbtc@bookTicker","data":{"u":400900217,"s":"BNBBTC","b":"25.35","B":"5","a":"0.36","A":"4066"}}',
]  # fmt: skip
FUTURES = [
    SPOT[1],
    ('{"stream":"bnbbtc@bookTicker","data":{"e":"bookTicker","u":7,"s":"BTCUSDT","b":"25.3","B":"3.2","a":"25.4",'
    '"A":"4.6","T":1672515782136,"E":1672515782136}}'),
    SPOT[1].replace("100.5", "7"),
]  # fmt: skip
MARKETS = {Binance: SPOT, BinanceUsdm: FUTURES}


def outcome(exchange: BinanceFamily, frame: str) -> Any:
    try:
        return exchange.parse(frame.encode(), 1), exchange.duplicates, exchange.notices, exchange.requests
    except MalformedFrame:
        return "malformed"


@st.composite
def changed(draw: st.DrawFn) -> tuple[type[BinanceFamily], str, str]:
    """A frame, and what some changed characters make of it."""
    market = draw(st.sampled_from(list(MARKETS)))
    known = draw(st.sampled_from(MARKETS[market]))
    frame = known
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(known.index("data"), max(known.index("data"), len(frame))))
        length = draw(st.integers(0, 6))
        frame = frame[:place] + draw(st.text('0123456789.."-+e,[]\\ ', max_size=6)) + frame[place + length :]
    return market, known, frame


def learned(market: type[BinanceFamily], frame: str) -> BinanceFamily:
    exchange = market()
    for _ in range(2):  # a stream's first frame makes its name known, its second one the form
        exchange.parse(frame.encode(), 1)
    assert exchange._forms
    return exchange


@given(changed())
@example((Binance, SPOT[2], SPOT[2].replace("31.21", ".")))
@example((Binance, SPOT[3], SPOT[3].replace('"5"', '""')))
@example((Binance, SPOT[3], SPOT[3].replace('"5"', '"."')))
@example((Binance, SPOT[3], SPOT[3].replace("25.35", ".")))
@example((Binance, SPOT[0], SPOT[0].replace("100.5", "0.0")))
@example((Binance, SPOT[0], SPOT[0].replace("0.0010", "0.0000")))
@example((Binance, SPOT[2], SPOT[2].replace("25.35", "0.00")))
@example((Binance, SPOT[2], SPOT[2].replace("0.36", "0.00")))
@example((Binance, SPOT[2], SPOT[2].replace("25.35", "0.0").replace("31.21", "0.00")))
def test_a_known_form_changes_no_outcome(case: tuple[type[BinanceFamily], str, str]):
    market, known, frame = case

    class Careful(market):  # type: ignore[valid-type, misc] # a class only at run time
        def _learn(self, *_: object) -> None: ...

    careful = Careful()
    for _ in range(2):
        careful.parse(known.encode(), 1)
    assert outcome(learned(market, known), frame) == outcome(careful, frame)


@pytest.mark.parametrize(("market", "frame"), [(Binance, SPOT[2]), (BinanceUsdm, FUTURES[1])])
@pytest.mark.parametrize("wrong", ["NaN", "1.2.3", "7.5x", "inf", "1_0.0", "."])
@pytest.mark.parametrize("old", ['"b":"25.3', '"A":"4'])
def test_what_is_dropped_teaches_no_form(market: type[BinanceFamily], frame: str, wrong: str, old: str):
    exchange = market()
    bad = re.sub(old + '[0-9.]*"', f'{old[:5]}{wrong}"', frame)
    later = re.sub('"u":[0-9]+', '"u":999999999999', bad)
    assert len(exchange.parse(frame.encode(), 1)) == 1
    for text in (bad, later):  # the first of them repeats what came
        with pytest.raises(MalformedFrame):
            exchange.parse(text.encode(), 2)


def test_a_fill_that_is_no_trade_teaches_no_form():
    exchange = BinanceUsdm()
    fill = SPOT[0].replace('"m":true', '"X":"NA1","m":true')
    assert len(exchange.parse(fill.encode(), 1)) == 1
    for number in (2, 3):
        with pytest.raises(MalformedFrame):
            exchange.parse(fill.replace("0.0010", "Na.N").replace("12345", f"{number}").encode(), number)


@pytest.mark.parametrize(("market", "frame"), [(Binance, SPOT[0]), (Binance, SPOT[2]), (BinanceUsdm, FUTURES[1])])
def test_no_form_is_learned_where_only_some_decimals_are_whole(market: type[BinanceFamily], frame: str):
    exchange = market()
    mixed = frame.replace('"0.0010"', '"1"').replace('"3.2"', '"3"').replace('"31.21"', '"3"')
    for _ in range(3):
        exchange.parse(mixed.encode(), 1)
    assert not exchange._forms


def test_the_forms_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(binance_family, "MOST_FORMS", 3)
    exchange = Binance()
    make: Callable[[str], str] = lambda name: SPOT[2].replace("BNBBTC", name).replace("bnbbtc", name.lower())  # noqa: E731
    for name in ("AAABTC", "BBBBTC", "CCCBTC", "DDDBTC", "EEEBTC"):
        for _ in range(2):
            exchange.parse(make(name).encode(), 1)
        assert 1 <= len(exchange._forms) <= 3
