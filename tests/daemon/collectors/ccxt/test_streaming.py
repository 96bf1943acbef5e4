"""What streams must bear: bursts, lost connections, refusals, messages that nobody can read."""

import time

from bus.events import Book, Trade
from daemon.exchanges.base import FeedKey
from tests.daemon.collectors.ccxt.conftest import depth, running, trade, until

BURST = 20_000


async def test_nothing_is_lost_in_a_burst(scripted):
    async with running(scripted, channels=("trade", "book")) as (_, bus):
        await until(lambda: {"subscribe btcusdt@trade", "subscribe btcusdt@depth@100ms"} <= set(scripted.subscribed))
        await scripted.send(depth(101, 101, [["50000.00", "1"]]))
        await until(lambda: bus.of(Book))
        frames = []
        for number in range(BURST):
            frames.append(trade(number, amount=f"0.{number:05}1"))
            if number % 2 == 0:
                frames.append(depth(102 + number // 2, 102 + number // 2, [[f"{40_000 + number}.50", "0.5"]]))
        bus.room.clear()  # the bus has no room, then the sockets are full
        began = time.perf_counter()
        sending = [scripted.send(*frames[::2]), scripted.send(*frames[1::2])]
