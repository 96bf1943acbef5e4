"""What an exchange states of its symbols is stored as soon as it is known, and again when it is loaded anew."""

import asyncio
from types import SimpleNamespace

from bus.clock import ManualClock
from daemon import instruments
from daemon.instruments import FIRST_LOOK, LOOK, keep_instruments


async def test_the_first_list_is_stored_at_once_and_later_ones_within_a_second(monkeypatch):
    clock, stored, away = ManualClock(), [], [OSError("away")]

    async def store(_, values):
        if away:
            raise away.pop()
        stored.append(list(values))
        return len(stored[-1])

    async def turn(seconds):
        clock.advance(seconds)
        for _ in range(3):
            await asyncio.sleep(0)

    monkeypatch.setattr(instruments, "store_instruments", store)
    listing = SimpleNamespace(loads=0, instruments={})
    task = asyncio.create_task(keep_instruments(SimpleNamespace(name="x", listing=listing), None, clock))
    await turn(FIRST_LOOK)
    listing.instruments, listing.loads = {"BTC/USDT": "one"}, 1
    await turn(FIRST_LOOK)
    assert (stored, away) == ([], [])  # the database was away
    await turn(FIRST_LOOK)
    assert stored == []
    await turn(LOOK)
    assert stored == [["one"]]
    await turn(LOOK)
    assert stored == [["one"]]
    listing.instruments, listing.loads = {"BTC/USDT": "other"}, 2
    await turn(LOOK)
    assert stored == [["one"], ["other"]]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
