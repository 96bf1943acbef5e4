"""Several processes share a handler's streams on a real server: each stream is one's, in order, and nobody's never."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import UsageError
from bus.events import Event, Ticker
from bus.part import Part
from bus.redis import RedisBus
from bus.redis.lease import TTL
from tests.bus.helpers import Collecting, eventually, numbers, running, trade

EXCHANGES = ("binance", "bybit", "coinbase", "kraken", "okx")


class OfExchanges(Collecting):
    channels = frozenset({"trade", "ticker"})
    together = "exchange"


class OfStreams(OfExchanges):
    together = "stream"


class WithSystem(OfStreams):
    system = True


@asynccontextmanager
async def opened(url: str, prefix: str) -> AsyncIterator[list[RedisBus]]:
    buses = [await RedisBus.open(url, prefix=prefix) for _ in range(3)]
    yield buses
    for bus in buses:
        await bus.close()


@pytest.fixture
async def buses(valkey_url: str, bus_prefix: str):
    async with opened(valkey_url, bus_prefix) as made:
        yield made


@pytest.fixture
async def anywhere(redis_url: str, bus_prefix: str):
    """Buses on one server, and on a cluster."""
    async with opened(redis_url, bus_prefix) as made:
        yield made


def events(count: range) -> list[Event]:
    return [
        event
        for number in count
        for exchange in EXCHANGES
        for event in (trade(number, exchange), Ticker(exchange, "BTC/USDT", number, number, "ws", "1", "1", "2", "1"))
    ]


def streams(handler: Collecting) -> dict[tuple[str, type], list[int | None]]:
    """What each stream gave, in order."""
    found: dict[tuple[str, type], list[int | None]] = {}
    for event in handler.events:
        if event.ts is not None and hasattr(event, "exchange"):
            found.setdefault((event.exchange, type(event)), []).append(event.ts)
    return found


@pytest.mark.parametrize("kind", [OfExchanges, OfStreams, WithSystem])
async def test_each_stream_is_read_by_one_part_in_order(buses: list[RedisBus], kind: type[Collecting]):
    handlers = [kind() for _ in buses]
    async with (
        running(buses[0], handlers[0], Part(1, 3)),
        running(buses[1], handlers[1], Part(2, 3)),
        running(buses[2], handlers[2], Part(3, 3)),
    ):
        await buses[0].publish(events(range(1, 21)))
        await eventually(lambda: sum(len(handler.events) for handler in handlers) >= 200)
    shares = [streams(handler) for handler in handlers]
    assert sum(map(bool, shares)) > 1
    assert sum(map(len, shares)) == 2 * len(EXCHANGES)  # no stream stands in two shares
    assert {stream for share in shares for stream in share} == {
        (exchange, type(event)) for exchange in EXCHANGES for event in events(range(1, 2))[:2]
    }
    assert all(each == list(range(1, 21)) for share in shares for each in share.values())
    if kind is OfExchanges:
        assert all({exchange for exchange, _ in share} == {e for e, t in share if t is Ticker} for share in shares)


async def test_a_part_stands_by_for_its_like_and_takes_over(anywhere: list[RedisBus]):
    buses = anywhere
    first, second = OfExchanges(), OfExchanges()
    mine = next(exchange for exchange in EXCHANGES if Part(1, 2).takes(exchange))
    async with AsyncExitStack() as acts, AsyncExitStack() as waits:
        acting = await acts.enter_async_context(running(buses[0], first, Part(1, 2)))
        await eventually(lambda: acting.acts)
        waiting = await waits.enter_async_context(running(buses[1], second, Part(1, 2)))
        await buses[2].publish([trade(1, mine)])
        await eventually(lambda: first.events)
        await waiting.catch_up()  # it has asked
        assert not waiting.acts
        await acts.aclose()
        await buses[2].publish([trade(2, mine)])
        await eventually(lambda: waiting.acts and second.events)
    assert (numbers(first.events), numbers(second.events)) == ([1], [2])


async def test_who_shares_in_another_way_waits_until_the_others_have_ended(buses: list[RedisBus]):
    part, whole, thirds = OfExchanges(), OfExchanges(), OfExchanges()
    mine = [exchange for exchange in EXCHANGES if Part(2, 2).takes(exchange)]
    async with running(buses[0], part, Part(2, 2)) as acting:
        await eventually(lambda: acting.acts)
        async with (
            running(buses[1], whole) as undivided,
            running(buses[2], thirds, Part(1, 3)) as otherwise,
        ):
            await buses[0].publish([trade(1, exchange) for exchange in EXCHANGES])
            await eventually(lambda: len(part.events) == len(mine))
            for late in (undivided, otherwise):
                await late.catch_up()  # it has asked
                assert not late.acts
    assert [*whole.events, *thirds.events] == []


async def test_the_whole_takes_over_what_no_part_has_read(buses: list[RedisBus]):
    part, whole = OfExchanges(), OfExchanges()
    theirs = [exchange for exchange in EXCHANGES if not Part(2, 2).takes(exchange)]
    async with running(buses[0], part, Part(2, 2)) as acting:
        await eventually(lambda: acting.acts)
        await buses[0].publish([trade(1, exchange) for exchange in EXCHANGES])
        await eventually(lambda: len(part.events) == len(EXCHANGES) - len(theirs))
        await eventually(acting.caught_up.is_set)
    async with asyncio.timeout(TTL + 20), running(buses[1], whole):
        await eventually(lambda: len(whole.events) == len(theirs))
    assert {event.exchange for event in whole.events} == set(theirs)


@given(st.text(max_size=20), st.integers(0, 9), st.integers(1, 20))
def test_everything_belongs_to_exactly_one_part_and_places_go_round(name: str, place: int, of: int):
    taking = [Part(number, of).takes(name, place) for number in range(1, of + 1)]
    assert sum(taking) == 1
    assert [Part(number, of).takes(name, place + 1) for number in range(1, of + 1)] == [taking[-1], *taking[:-1]]


@given(st.integers(1, 999), st.integers(1, 999))
def test_a_part_is_read_as_it_is_written(number: int, of: int):
    if number <= of:
        assert Part.parse(str(Part(number, of))) == Part(number, of)
    else:
        with pytest.raises(UsageError, match="1of2"):
            Part.parse(f"{number}of{of}")


@pytest.mark.parametrize("text", ["", "1", "0of2", "1of0", "3of2", "1/2", "1of2of3", "one of two", "²of3", "-1of2"])
def test_what_is_no_part_is_answered_with_what_is(text: str):
    with pytest.raises(UsageError, match="1of2 in one process"):
        Part.parse(text)
