"""Which exchanges there are through ccxt and what they have, told without importing it until one is used."""

import subprocess
import sys

import pytest

from bus.errors import ConfigError
from bus.events import MARKET_CHANNELS
from daemon.collectors.ccxt import catalogue
from daemon.collectors.factory import check
from daemon.exchanges import names as native


def test_nothing_of_ccxt_is_imported_before_an_exchange_is_used():
    program = (
        "import sys, daemon.app, daemon.cli.main, daemon.probe\n"
        "from daemon.collectors.factory import check\n"
        "check('gate')\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] == 'ccxt'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_channel_has_its_methods():
    assert set(catalogue.CHANNELS) == set(MARKET_CHANNELS)


def test_a_channel_is_streamed_where_that_can_be_and_polled_where_not():
    has = {
        "watchTrades": True,
        "fetchTrades": True,
        "watchOrderBook": None,
        "fetchOrderBook": True,
        "fetchTicker": False,
    }
    assert catalogue.ways(has | {"fetchOpenInterest": "emulated"}) == {
        "trade": "stream", "book": "poll", "open_interest": "poll",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["kraken", "gate", "bitflyer", "deribit"])
def test_ccxts_exchanges_are_known_by_name(name):
    check(name)


def test_an_unknown_exchange_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="krakenfutures"):
        check("krakenfuture")
    with pytest.raises(ConfigError, match="binance"):
        check("binanse")


def test_what_every_exchange_has_can_be_listed():
    entries = catalogue.entries(without=native())
    assert len(entries) > 80
    assert not {entry.name for entry in entries} & set(native())
    streamed = {entry.name: entry.channels_by("stream") for entry in entries}
    polled = {entry.name: entry.channels_by("poll") for entry in entries}
    assert {"trade", "book"} <= streamed["gate"]
    assert polled["bitflyer"] >= {"trade", "book"}
    assert not streamed["bitflyer"]
    assert not any(streamed[name] & polled[name] for name in streamed)
