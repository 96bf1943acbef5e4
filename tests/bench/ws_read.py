"""Frames a second of the reading path alone, against a bare aiohttp loop over the same bytes in the same run.

Run: python tests/bench/ws_read.py [frames]. A server in another process blasts pre-framed trade messages. The bus
takes everything at once and the translator makes no events, so what remains is reading, stamping and batching; the
last line adds Binance's real translator, with every trade id once.
"""

import base64
import gc
import hashlib
import multiprocessing
import socket
import struct
import sys
import time

import aiohttp
import uvloop

from bus.clock import SystemClock
from daemon.collectors.board import FeedBoard
from daemon.collectors.connection import Connection, Surroundings
from daemon.collectors.intake import Intake
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey
from daemon.exchanges.binance import Binance

ROUNDS = 5
TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000000000,"s":"BTCUSDT","t":%d,"p":"37000.01000000",'
    b'"q":"0.00100000","T":1700000000000000,"m":true,"M":true}}'
)


class Silent(Binance):
    """Binance without its parsing."""

    def parse(self, frame, recv, connection=0):
        return []


class Sink:
    """A bus that takes everything at once."""

    published = 0

    async def publish(self, events):
        self.published += len(events)


def serve(listener: socket.socket, blob: bytes) -> None:
    while True:
        client, _ = listener.accept()
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(65_536)
        key = next(line for line in asked.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))[19:]
        accept = base64.b64encode(hashlib.sha1(key.strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        client.sendall(blob)
        client.sendall(b"\x88\x02\x03\xe8")
        client.recv(64)
        client.close()


def blob_of(frames: int) -> bytes:
    messages = (TRADE % (10**9 + number) for number in range(frames))
    return b"".join(bytes([0x81, 126]) + struct.pack("!H", len(m)) + m for m in messages)


async def bare(opened) -> int:
    frames = 0
    async for _ in opened:
        frames += 1
    return frames


async def ours(opened, exchange) -> int:
    clock, sink = SystemClock(), Sink()
    outbox = Outbox(sink, clock)
    board = FeedBoard("binance", outbox, clock)
    feed = FeedKey("BTC/USDT", "trade")
    board.add([feed])
    intake = Intake(exchange, board, outbox, clock)
    around = Surroundings(exchange, intake, board, outbox, clock, lambda: None, lambda: False)
    connection = Connection(1, opened, "ws://bench", [feed], around, lambda: None)
    before = intake._frames._value.get()
    await connection.run()
    return int(intake._frames._value.get() - before)


async def measure(port: int, frames: int) -> None:
    best: dict[str, float] = {}
    async with aiohttp.ClientSession() as session:
        for _ in range(ROUNDS):  # interleaved: drift hits all alike
            for name in ("bare async for", "Connection", "Connection + Binance.parse"):
                opened = await session.ws_connect(
                    f"http://127.0.0.1:{port}", autoping=False, decode_text=False, max_msg_size=2**24, compress=0
                )
                gc.collect()
                began = time.process_time()
                if name == "bare async for":
                    seen = await bare(opened)
                else:
                    seen = await ours(opened, Silent() if name == "Connection" else Binance())
                took = time.process_time() - began
                assert seen == frames, (name, seen)
                await opened.close()
                best[name] = min(best.get(name, took), took)
    for name, took in best.items():
        ratio = took / best["bare async for"]
        print(f"{name:28} {frames / took:>12,.0f} frames/s of one core  {took / frames * 1e6:5.2f} µs  {ratio:5.2f}x")


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, blob_of(frames)), daemon=True)
    server.start()
    try:
        uvloop.run(measure(listener.getsockname()[1], frames))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
