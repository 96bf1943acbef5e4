"""A dam before an exchange: holds back what it sends, and lets that go as fast as the client takes it.

As a program: python -m tests.bench.dam UPSTREAM_PORT; it prints its own port, reads `close` and `open` from standard
input, and prints `empty` when all that was held has been taken.
"""

import asyncio
import sys
from collections import deque

CHUNK = 2**18


class Dam:
    """Relays connections as bytes; what comes from the exchange waits while it is closed."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._open = asyncio.Event()
        self._open.set()
        self._held: list[deque[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either side ends it."""
        from_exchange, to_exchange = await asyncio.open_connection("127.0.0.1", self._upstream, limit=CHUNK)
        held: deque[bytes] = deque()
        self._held.append(held)
        more = asyncio.Event()

        async def ask() -> None:
            while data := await reader.read(CHUNK):
                to_exchange.write(data)
                await to_exchange.drain()

        async def collect() -> None:
            while data := await from_exchange.read(CHUNK):
                held.append(data)
                more.set()

        async def let_go() -> None:
            while True:
                await more.wait()
                more.clear()
                while held:
                    await self._open.wait()
                    writer.write(held.popleft())
                    await writer.drain()

        tasks = [asyncio.create_task(each()) for each in (ask, collect, let_go)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._held.remove(held)
        writer.close()
        to_exchange.close()

    async def obey(self, order: str) -> None:
        """Close or open it; once opened, say when nothing is held any more."""
        if order == "close":
            self._open.clear()
            return
        self._open.set()
        while any(self._held):
            await asyncio.sleep(0.001)
        print("empty", flush=True)


async def main(upstream: int) -> None:
    dam = Dam(upstream)
    server = await asyncio.start_server(dam.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while order := await asyncio.to_thread(sys.stdin.readline):
        await dam.obey(order.strip())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
