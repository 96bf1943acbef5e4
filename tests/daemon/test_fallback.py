"""Other exchanges stand in while a breaker is open, and hand back without flapping."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from bus.events import Feed
from daemon.exchanges.base import FeedKey
from daemon.fallback import PATIENCE, PROVEN, Fallback
from tests.daemon.collectors.helpers import Tiny, make_stage

AAA = FeedKey("AAA/USD", "trade")


class Spare(Tiny):
    name = "spare"


class Third(Tiny):
    name = "third"


@pytest.fixture
async def stage():
    async with make_stage() as made:
        yield made


@asynccontextmanager
async def standing_by(stage, spare_symbols=()):
    async with (
        stage.running(Tiny(), ["AAA/USD"]) as primary,
        stage.running(Spare(), spare_symbols) as spare,
        stage.running(Third(), ()) as third,
    ):
        await stage.subscribed(peers=1 + bool(spare_symbols))
        others = {"spare": spare, "third": third}
        keeper = Fallback(primary, others, ["spare", "third"], stage.clock)
        task = asyncio.create_task(keeper.run())
        await stage.until(lambda: not spare.why_not(AAA) and not third.why_not(AAA))
        try:
            yield keeper, primary, others
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def stand_in(keeper):
    return keeper.engaged[AAA].collector.name if AAA in keeper.engaged else None


async def test_an_open_breaker_brings_the_first_fallback_marked_as_such(stage):
    async with standing_by(stage) as (keeper, primary, _):
        primary.breakers["ws"].force_open("test")
        await stage.pass_time(PATIENCE - 2)
        assert stand_in(keeper) is None
        await stage.until(lambda: stand_in(keeper) == "spare", step=0.5)
        await stage.until(lambda: len(stage.server.peers) == 2)  # tiny's own connection has ended
        await stage.server.live[-1].send({"t": "AAA/USD", "id": 1})
        told = [(e.exchange, e.state, e.reason) for e in stage.bus.of(Feed) if e.exchange == "spare"]
        assert told[0] == ("spare", "connecting", "stands in for tiny")


async def test_symbols_are_handed_back_only_after_a_time_of_health(stage):
    async with standing_by(stage) as (keeper, primary, others):
        breaker = primary.breakers["ws"]
        breaker.force_open("test")
        await stage.until(lambda: stand_in(keeper) == "spare", step=0.5)
        for _ in range(3):  # it flaps
            breaker.reset("test")
            await stage.pass_time(PROVEN / 2)
            assert stand_in(keeper) == "spare"
            breaker.force_open("test")
            await stage.pass_time(2)
        breaker.reset("test")
        await stage.until(lambda: stand_in(keeper) is None, step=0.5)
        assert others["spare"].feeds == []


async def test_a_stand_in_in_trouble_is_replaced_by_the_next(stage):
    async with standing_by(stage) as (keeper, primary, others):
        primary.breakers["ws"].force_open("test")
        await stage.until(lambda: stand_in(keeper) == "spare", step=0.5)
        others["spare"].breakers["ws"].force_open("test")
        await stage.until(lambda: stand_in(keeper) == "third", step=0.5)
        assert others["spare"].feeds == []


async def test_what_a_fallback_delivers_anyway_stays(stage):
    async with standing_by(stage, ["AAA/USD"]) as (keeper, primary, others):
        primary.breakers["ws"].force_open("test")
        await stage.until(lambda: stand_in(keeper) == "spare", step=0.5)
        primary.breakers["ws"].reset("test")
        await stage.until(lambda: stand_in(keeper) is None, step=1)
        assert others["spare"].feeds == [AAA]


async def test_a_symbol_that_a_fallback_does_not_have_goes_to_the_next(stage):
    async with standing_by(stage) as (keeper, primary, others):
        del others["spare"]._exchange._instruments["AAA/USD"]
        primary.breakers["ws"].force_open("test")
        await stage.until(lambda: stand_in(keeper) == "third", step=0.5)
