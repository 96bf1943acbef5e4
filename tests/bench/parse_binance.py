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


def parse_all(lines: list[tuple[str, bytes, int]], only: str = "") -> None:
    """A fresh translator over the whole recording: the duplicate filters and the book's sequence do their work."""
    exchange = Binance()
    for kind, frame, recv in lines:
        if kind == "rest":
            while exchange.requests:
                exchange.answer(exchange.requests.popleft(), frame, recv)
        elif not only or kind == only:
            exchange.parse(frame, recv)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "binance_btcusdt_20240808"
    lines: list[tuple[str, bytes, int]] = []
    for line in Recording(Path(os.environ["MARKETD_RECORDINGS"]) / f"{name}.jsonl.gz"):
        frame = line.d.encode()
        if line.k == "ws":
            lines.append((kind_of(frame), frame, line.t))
        elif "/depth" in line.u:
            lines.append(("rest", frame, line.t))
    by_kind = defaultdict(list)
    for kind, frame, _ in lines:
        if kind != "rest":
            by_kind[kind].append(frame)
    frames = [frame for some in by_kind.values() for frame in some]
    decode = msgspec.json.Decoder().decode
    bare = best(lambda: each(decode, frames), len(frames))
    ours = best(lambda: parse_all(lines), len(frames))
    standard = best(lambda: each(json.loads, frames), len(frames))
    print(f"{name}: {len(frames)} frames, CPU µs per frame")
    print(f"  json.loads            {standard:6.2f}")
    print(f"  msgspec, untyped      {bare:6.2f}")
    print(f"  bytes to events       {ours:6.2f}   {ours / bare:.2f} times bare decoding")
    for kind, some in sorted(by_kind.items()):
        single = best(lambda kind=kind: parse_all(lines, kind), len(some))
        alone = best(lambda some=some: each(decode, some), len(some))
        print(f"    {kind:<18}  {single:6.2f}   bare {alone:.2f}, {len(some)} frames")


if __name__ == "__main__":
    main()
