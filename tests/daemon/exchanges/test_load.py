"""Exchanges are found by looking at the folder."""

import pytest

from bus.errors import ConfigError
from daemon.exchanges import load, names
from daemon.exchanges.base import Exchange


def test_every_name_loads_an_exchange_of_that_name():
    assert "binance" in names()
    for name in names():
        assert issubclass(load(name), Exchange)
        assert load(name).name == name
        assert load(name)().name == name


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'Binanc'; did you mean binance"):
        load("Binanc")
    with pytest.raises(ConfigError, match="binance"):
        load("zzz")
