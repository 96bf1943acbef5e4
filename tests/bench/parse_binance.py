"""What parsing costs: bytes to checked events, against bare JSON decoding of the same frames in the same run.

    MARKETD_RECORDINGS=… python -m tests.bench.parse_binance [recording]

Prints CPU µs per frame, the best of several rounds, over all frames and by kind.
"""

import gc
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.exchanges.binance import Binance
from daemon.recording import Recording

ROUNDS = 5
WARM = 7
"""Frames before the depth snapshot, as recorded."""


def best(run: Callable[[], object], frames: int) -> float:
    """CPU µs per frame of the best round."""
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times) / frames * 1e6


def each(decode: Callable[[bytes], object], frames: list[bytes]) -> None:
    for frame in frames:
        decode(frame)


def kind_of(frame: bytes) -> str:
    return frame[11 : frame.index(b'"', 11)].partition(b"@")[2].decode()


def parse_all(lines: list[tuple[bytes, int]], snapshot: bytes) -> None:
    """A fresh translator over the whole recording: the duplicate filters and the book's sequence do their work."""
    exchange = Binance()
    parse = exchange.parse
    for frame, recv in lines[:WARM]:
        parse(frame, recv)
    while exchange.requests:
        exchange.answer(exchange.requests.popleft(), snapshot, lines[WARM][1])
    for frame, recv in lines[WARM:]:
        parse(frame, recv)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "binance_btcusdt_20240808"
    lines: list[tuple[bytes, int]] = []
    snapshot = b""
    for line in Recording(Path(os.environ["MARKETD_RECORDINGS"]) / f"{name}.jsonl.gz"):
        if line.k == "ws":
            lines.append((line.d.encode(), line.t))
        elif "/depth" in line.u:
            snapshot = line.d.encode()
    by_kind = defaultdict(list)
    for frame, recv in lines:
        by_kind[kind_of(frame)].append((frame, recv))
    frames = [frame for frame, _ in lines]
    decode = msgspec.json.Decoder().decode
    bare = best(lambda: each(decode, frames), len(frames))
    ours = best(lambda: parse_all(lines, snapshot), len(frames))
    standard = best(lambda: each(json.loads, frames), len(frames))
    print(f"{name}: {len(frames)} frames, CPU µs per frame")
    print(f"  json.loads            {standard:6.2f}")
    print(f"  msgspec, untyped      {bare:6.2f}")
    print(f"  bytes to events       {ours:6.2f}   {ours / bare:.2f} times bare decoding")
    for kind, some in sorted(by_kind.items()):
        single = best(lambda some=some: parse_all(some, snapshot), len(some))
        alone = best(lambda some=some: each(decode, [frame for frame, _ in some]), len(some))
        print(f"    {kind:<18}  {single:6.2f}   bare {alone:.2f}, {len(some)} frames")


if __name__ == "__main__":
    main()
