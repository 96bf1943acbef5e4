"""Splitting run-together symbols by their quote."""

import pytest

from daemon.exchanges.symbols import split


@pytest.mark.parametrize(
    ("native", "parts"),
    [
        ("BTCUSDT", ("BTC", "USDT")), ("ETHBTC", ("ETH", "BTC")), ("RUNEEUR", ("RUNE", "EUR")),
        ("XUSDT", ("X", "USDT")), ("1000SATSFDUSD", ("1000SATS", "FDUSD")), ("YOYOBNB", ("YOYOW", "BNB")),
        ("USDT", None), ("btcusdt", None), ("BTC-USDT", None), ("", None), ("XYZ", None), ("A" * 60 + "BTC", None),
    ],
)  # fmt: skip
def test_split(native, parts):
    assert split(native, {"YOYO": "YOYOW"}) == parts
