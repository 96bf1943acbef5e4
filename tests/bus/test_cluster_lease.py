"""A lease that covers streams in several slots: what the append script sees beside each follows the lease itself."""

import asyncio

import pytest

from bus.events import MARKET_CHANNELS
from bus.redis import RedisBus
from tests.bus.helpers import numbers, trades


@pytest.fixture
async def buses(cluster_url: str, bus_prefix: str):
    opened = [await RedisBus.open(cluster_url, prefix=bus_prefix) for _ in range(2)]
    yield opened
    for bus in opened:
        await bus.close()


def fenced(buses):
    leases = [bus.lease("feeds") for bus in buses]
    for bus, lease in zip(buses, leases, strict=True):
        bus.fence("binance", lease)
    return leases


async def test_the_keys_of_a_stream_lie_in_its_own_slot(buses):
    client, names = buses[0].client, buses[0].names
    stream = names.market("binance", "trade")
    lease = buses[0].lease("feeds")
    assert client.keyslot(lease.fence_key(stream)) == client.keyslot(stream)
    assert client.keyslot(f"{{{stream}}}:head") == client.keyslot(stream)
    assert len({client.keyslot(names.market("binance", channel)) for channel in MARKET_CHANNELS}) > 1


async def test_a_lease_counts_as_held_once_the_former_holder_can_write_none_of_its_streams(buses):
    one, other = fenced(buses)
    assert await one.renew()
    await buses[0].client.delete(f"{buses[0].names.prefix}:lease:feeds")  # it is gone, and `one` does not know
    assert not await other.renew()
    await buses[0].publish(trades(0, 5))
    await buses[0].flush(5)
    assert not await one.renew()  # it lets go of what lies beside the streams
    assert await other.renew()
    await buses[1].publish(trades(5, 10))
    await buses[1].flush(5)
    await buses[0].publish(trades(5, 8))
    await buses[0].flush(5)
    assert numbers(await buses[0].tail("binance", "trade", 0)) == list(range(10))


async def test_what_a_dead_holder_has_left_beside_the_streams_expires(buses, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("bus.redis.lease.TTL", 0.5)
        one, other = fenced(buses)
        assert await one.renew()
    async with asyncio.timeout(10):
        while not await other.renew():
            await asyncio.sleep(0.05)
    await buses[1].publish(trades(0, 5))
    await buses[1].flush(5)
    assert numbers(await buses[1].tail("binance", "trade", 0)) == list(range(5))
