"""Commands about what is collected, where the exchange's list of symbols comes while one is carried out."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bus.errors import ConfigError
from daemon.config import Exchange
from daemon.control.collectors import Feeds, symbols_add
from daemon.control.request import Rejected

REQUEST: Any = SimpleNamespace(command="symbols.add", client="test", expect_version=None)


class Collector:
    """An exchange that has BTC/USDT and ETH/USDT, and says so once its list is there."""

    name = "binance"
    loaded = False
    settings = SimpleNamespace(channels=("trade",), timeframes=())

    def why_not(self, feed: Any) -> str:
        return "" if feed.symbol in {"BTC/USDT", "ETH/USDT"} else f"binance has no symbol {feed.symbol}"


class Running:
    """A configuration that refuses what a loaded exchange has not; `comes`: the list comes at the first change."""

    def __init__(self, collector: Collector, *, comes: bool) -> None:
        self.current = SimpleNamespace(exchanges=[Exchange(name="binance", symbols=("BTC/USDT",), channels=("trade",))])
        self.patches: list[Any] = []
        self._collector = collector
        self._comes = comes

    async def set(self, patch: Any, *_: object) -> int:
        self.patches.append(patch)
        self._collector.loaded |= self._comes
        if self._collector.loaded and "NOPE/USDT" in str(patch):
            raise ConfigError("binance has no symbol NOPE/USDT")
        return 7


def add(collector: Collector, running: Any, *symbols: str) -> Any:
    run = symbols_add({"binance": collector}, running).run
    return asyncio.run(run(Feeds(exchange="binance", symbols=symbols), REQUEST))


def test_a_list_that_comes_meanwhile_refuses_the_unknown_symbol_alone():
    collector = Collector()
    running = Running(collector, comes=True)
    told = add(collector, running, "ETH/USDT", "NOPE/USDT")
    assert [feed["symbol"] for feed in told["added"]] == ["ETH/USDT"]
    assert [feed["symbol"] for feed in told["refused"]] == ["NOPE/USDT"]
    assert len(running.patches) == 2


def test_before_the_list_is_there_everything_is_taken_up():
    collector = Collector()
    told = add(collector, Running(collector, comes=False), "ETH/USDT", "NOPE/USDT")
    assert len(told["added"]) == 2


def test_what_is_refused_for_another_reason_is_refused_once():
    collector = Collector()
    collector.loaded = True
    collector.why_not = lambda feed: ""  # type: ignore[method-assign]
    running = Running(collector, comes=True)
    with pytest.raises(Rejected, match="NOPE/USDT"):
        add(collector, running, "NOPE/USDT")
    assert len(running.patches) == 1
