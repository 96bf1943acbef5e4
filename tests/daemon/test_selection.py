"""Symbols by rule: what is chosen, when it is chosen anew, and who chooses."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import ManualClock
from bus.errors import ConfigError, ExchangeUnavailable
from bus.local import LocalState
from daemon.config import Config, Exchange, Selection
from daemon.config.settings import build
from daemon.exchanges.base import Instrument
from daemon.selection import STAYING, Selector, choose
from tests.daemon.collectors.helpers import Highest


def instrument(symbol, *, active=True):
    base, _, rest = symbol.partition("/")
    return Instrument("x", symbol, base, base, rest.partition(":")[0], "spot", active=active)


LISTED = [
    instrument("BTC/USDT"),
    instrument("ETH/USDT"),
    instrument("ETH/BTC"),
    instrument("BTC/USDT:USDT"),
    instrument("OLD/USDT", active=False),
]
VOLUMES = {"BTC/USDT": Decimal(100), "ETH/USDT": Decimal(50), "ETH/BTC": Decimal(70), "OLD/USDT": Decimal(999)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Selection(quotes=("USDT",)), ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT"]),
        (Selection(quotes=("USDT",), pattern="[^:]+"), ["BTC/USDT", "ETH/USDT"]),
        (Selection(pattern="ETH/.*"), ["ETH/BTC", "ETH/USDT"]),
        (Selection(pattern="ETH"), []),
        (Selection(top=2), ["BTC/USDT", "ETH/BTC"]),
        (Selection(top=1, quotes=("BTC",)), ["ETH/BTC"]),
        (Selection(top=100), ["BTC/USDT", "BTC/USDT:USDT", "ETH/BTC", "ETH/USDT"]),
    ],
)
def test_a_rule_chooses_among_what_is_listed(rule, expected):
    assert list(choose(rule, LISTED, VOLUMES, ())) == expected


def test_a_chosen_symbol_gives_way_to_a_clearly_larger_one_alone():
    rule = Selection(top=1)
    for volume, expected in [(Decimal(100) * STAYING - 1, "BTC/USDT"), (Decimal(100) * STAYING + 1, "ETH/USDT")]:
        volumes = {"BTC/USDT": Decimal(100), "ETH/USDT": volume}
        assert choose(rule, LISTED, volumes, ["BTC/USDT"]) == (expected,)


@given(
    volumes=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    present=st.sets(st.integers(0, 11)),
    top=st.integers(1, 12),
)
def test_the_top_is_full_and_nothing_left_out_is_clearly_larger(volumes, present, top):
    listed = [instrument(f"S{n}/X") for n in range(len(volumes))]
    volume = {f"S{n}/X": Decimal(v) for n, v in enumerate(volumes)}
    chosen = choose(Selection(top=top), listed, volume, {f"S{n}/X" for n in present})
    assert len(chosen) == min(top, len(volumes))
    smallest = min(volume[symbol] for symbol in chosen)
    assert all(volume[one.symbol] <= smallest * STAYING for one in listed if one.symbol not in chosen)


class Stage:
    """An exchange that tells volumes, and what a selector has delivered."""

    def __init__(self):
        self.clock = ManualClock()
        self.state = LocalState()
        self.volumes = dict(VOLUMES)
        self.asked = 0
        self.down = False
        self.applied: list[tuple[str, ...]] = []
        listing = SimpleNamespace(instruments={one.symbol: one for one in LISTED})
        self.collector = SimpleNamespace(
            name="x", publishing=True, loaded=True, listing=listing, volumes=self.ask
        )  # fmt: skip

    async def ask(self):
        self.asked += 1
        if self.down:
            raise ExchangeUnavailable("down")
        return self.volumes

    async def apply(self, symbols):
        if self.applied[-1:] != [symbols]:
            self.applied.append(symbols)

    @asynccontextmanager
    async def running(self, rule):
        selector = Selector(self.collector, rule, self.state, self.apply, self.clock, Highest())
        task = asyncio.create_task(selector.run())
        await self.seconds(3)
        yield
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def seconds(self, count, step=1.0):
        for _ in range(int(count / step)):
            self.clock.advance(step)
            for _ in range(5):
                await asyncio.sleep(0)


TOP = Selection(top=1, quotes=("USDT",), interval=600.0)


async def test_it_chooses_at_once_and_again_after_the_interval():
    stage = Stage()
    async with stage.running(TOP):
        assert stage.applied == [("BTC/USDT",)]
        stage.volumes["ETH/USDT"] = Decimal(1000)
        await stage.seconds(500)
        assert (stage.asked, stage.applied) == (1, [("BTC/USDT",)])
        await stage.seconds(200)
        assert (stage.asked, stage.applied) == (2, [("BTC/USDT",), ("ETH/USDT",)])


async def test_a_restart_goes_on_with_the_last_choice_and_an_overdue_one_is_made_at_once():
    stage = Stage()
    async with stage.running(TOP):
        pass
    stage.volumes["ETH/USDT"] = Decimal(1000)
    async with stage.running(TOP):
        assert (stage.asked, stage.applied) == (1, [("BTC/USDT",)])
    stage.clock.advance(10_000)
    async with stage.running(TOP):
        assert (stage.asked, stage.applied) == (2, [("BTC/USDT",), ("ETH/USDT",)])
    async with stage.running(Selection(quotes=("BTC",))):
        assert stage.applied[-1] == ("ETH/BTC",), "another rule chooses anew"


async def test_an_exchange_in_trouble_or_a_rule_that_means_nothing_leaves_the_last_choice():
    stage = Stage()
    async with stage.running(TOP):
        stage.down = True
        await stage.seconds(1_500, 5)
        assert (stage.asked > 2, stage.applied) == (True, [("BTC/USDT",)])
        stage.down = False
        stage.collector.listing.instruments.clear()
        await stage.seconds(1_500, 5)
        assert stage.applied == [("BTC/USDT",)]


async def test_nothing_is_chosen_before_the_symbols_are_known():
    stage = Stage()
    stage.collector.loaded = False
    async with stage.running(TOP):
        assert (stage.asked, stage.applied) == (0, [])
        stage.collector.loaded = True
        await stage.seconds(3)
        assert stage.applied == [("BTC/USDT",)]


async def test_who_stands_by_follows_the_other_process():
    one, other = Stage(), Stage()
    other.state, other.collector.publishing = one.state, False
    other.volumes = {"ETH/USDT": Decimal(1)}
    async with one.running(TOP), other.running(TOP):
        await other.seconds(10)
        assert (other.asked, other.applied) == (0, [("BTC/USDT",)])


def test_an_exchange_with_a_rule_needs_no_symbols():
    assert Exchange(name="x").symbols == ("BTC/USDT", "ETH/USDT")
    assert Exchange(name="x", select=TOP).symbols == ()
    assert Exchange.model_validate({"name": "x", "select": {"top": 5}, "symbols": []}).symbols == ()
    with pytest.raises(ValueError, match="is empty"):
        Exchange(name="x", select=Selection(), symbols=())
    with pytest.raises(ConfigError, match=r"exchanges\.x\.select\.pattern.*no regular expression"):
        build(Config(), {"exchanges.x.name": "x", "exchanges.x.select": {"pattern": "("}})
