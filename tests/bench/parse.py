"""What parsing costs: bytes to checked events, against bare JSON decoding of the same frames in the same run.

    MARKETD_RECORDINGS=… python -m tests.bench.parse [recording …]

Prints CPU µs per frame, the best of several rounds. A round is a fresh translator over the whole recording, so that
the sequence checks, checksums and duplicate filters do their work; answers to requests are given as recorded, and not
counted.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon import exchanges
from daemon.exchanges.base import Exchange
from daemon.recording import Recording, Replay
from daemon.recording.reader import Line

ROUNDS = 5
ALL = (
    "binance_btcusdt_20240808", "binanceusdm_btcusdt_20240808", "bybit_current_api", "coinbase_current_api",
    "kraken_current_api", "okx_current_api",
)  # fmt: skip


class Timed:
    """A translator whose calls of `parse` are replayed, and timed as one: between two answers all frames in a row."""

    def __init__(self, exchange: Exchange, lines: list[Line]) -> None:
        self._script: list[list[tuple[bytes, int, int]]] = [[]]
        self._answers: list[Callable[[Exchange], object]] = []
        parse, answer, connected = exchange.parse, exchange.answer, exchange.connected

        def keep_frame(frame: bytes, recv: int, connection: int = 0) -> object:
            self._script[-1].append((frame, recv, connection))
            return parse(frame, recv, connection)

        def keep(call: str, *arguments: object) -> None:
            self._script.append([])
            self._answers.append(lambda fresh: getattr(fresh, call)(*arguments))

        exchange.parse = keep_frame  # type: ignore[method-assign, assignment]
        exchange.answer = lambda *a: (keep("answer", *a), answer(*a))[1]  # type: ignore[method-assign]
        exchange.connected = lambda *a: (keep("connected", *a), connected(*a))[1]  # type: ignore[method-assign, func-returns-value]
        for _ in Replay(lines, exchange):
            pass

    def seconds(self, exchange: Exchange) -> float:
        """CPU seconds of one pass."""
        parse, total = exchange.parse, 0.0
        answers = iter(self._answers)
        for frames in self._script:
            gc.collect()
            start = time.process_time()
            for frame, recv, connection in frames:
                parse(frame, recv, connection)
            total += time.process_time() - start
            if (answer := next(answers, None)) is not None:
                answer(exchange)
                exchange.requests.clear()
        return total


def best(run: Callable[[], float], frames: int) -> float:
    """CPU µs per frame of the best round."""
    return min(run() for _ in range(ROUNDS)) / frames * 1e6


def each(decode: Callable[[bytes], object], frames: list[bytes]) -> float:
    gc.collect()
    start = time.process_time()
    for frame in frames:
        decode(frame)
    return time.process_time() - start


def measure(name: str) -> str:
    """Return the line of the table about one recording."""
    translator = exchanges.load(name.partition("_")[0])
    lines = list(Recording(Path(os.environ["MARKETD_RECORDINGS"]) / f"{name}.jsonl.gz"))
    frames = [line.d.encode() for line in lines if line.k == "ws"]
    timed = Timed(translator(), lines)
    decode = msgspec.json.Decoder().decode
    standard = best(lambda: each(json.loads, frames), len(frames))
    bare = best(lambda: each(decode, frames), len(frames))
    ours = best(lambda: timed.seconds(translator()), len(frames))
    return f"{name:<30} {len(frames):6}  {standard:10.2f}  {bare:15.2f}  {ours:15.2f}"


def main() -> None:
    print("CPU µs per frame               frames  json.loads  msgspec untyped  bytes to events")
    for name in sys.argv[1:] or ALL:
        print(measure(name))


if __name__ == "__main__":
    main()
