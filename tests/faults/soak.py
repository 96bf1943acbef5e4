"""Random faults at the simulated exchange for a time, and then the books: what became of every trade that it printed.

By hand, for an hour: `python -m tests.faults.soak --seconds 3600`.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.sql import rows

Trade = tuple[int, Decimal, Decimal, int, str]
"""Id, price, amount, time in ms, side."""


class Books(NamedTuple):
    """The exchange's log against the table, over all symbols."""

    printed: int
    stored: int
    missing: int
    """Printed, not stored, and in no interval that is marked unfillable."""
    unfillable: int
    wrong: int
    """Stored with other values than the exchange's, or not printed at all."""
    gaps: Counter[tuple[str, str]]
    """Gaps by channel and state."""


def _stored(dsn: str) -> tuple[dict[str, dict[int, Trade]], dict[str, list[range]], Counter[tuple[str, str]]]:
    gaps = rows(dsn, "select symbol, channel, state, from_id, to_id from feed_gaps")
    trades: dict[str, dict[int, Trade]] = {}
    for row in rows(dsn, "select symbol, id, ts, price, amount, side from trades"):
        number, at = int(row["id"]), round(row["ts"].timestamp() * 1_000)
        trades.setdefault(row["symbol"], {})[number] = (number, row["price"], row["amount"], at, row["side"])
    lost: dict[str, list[range]] = {}
    for gap in gaps:
        if gap["channel"] == "trade" and gap["state"] == "unfillable" and gap["from_id"] and gap["to_id"]:
            lost.setdefault(gap["symbol"], []).append(range(int(gap["from_id"]), int(gap["to_id"]) + 1))
    return trades, lost, Counter((gap["channel"], gap["state"]) for gap in gaps)


def audit(exchange: Simulated, dsn: str, symbols: list[str]) -> Books:
    """Compare what the exchange printed since the first stored trade of each symbol with what is stored."""
    trades, lost, gaps = _stored(dsn)
    printed = stored = missing = unfillable = wrong = 0
    for symbol in symbols:
        mine = trades.get(symbol, {})
        first = min(mine, default=0)
        log: dict[int, Trade] = {}
        for number, price, amount, at, maker_bought in exchange.control(
            f"log?symbol={symbol.replace('/', '')}&from_id={first}"
        ):
            log[number] = (number, Decimal(price), Decimal(amount), at, "sell" if maker_bought else "buy")
        printed += len(log)
        stored += len(mine)
        wrong += sum(log.get(number) != trade for number, trade in mine.items())
        for number in log.keys() - mine.keys():
            if any(number in interval for interval in lost.get(symbol, ())):
                unfillable += 1
            else:
                missing += 1
    return Books(printed, stored, missing, unfillable, wrong, gaps)


class Latency(threading.Thread):
    """How long after its exchange's time each trade of some symbols stands on the stream, as a reader sees it."""

    def __init__(self, url: str, symbols: list[str]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._symbols = set(symbols)
        self._over = threading.Event()
        self.seconds: list[float] = []

    def run(self) -> None:
        """Read until stopped."""
        redis = Redis.from_url(self._url)
        last: Any = "$"
        while not self._over.is_set():
            for _, entries in redis.xread({"md:binance:trade": last}, block=200) or ():
                now = time.time_ns()
                last = entries[-1][0]
                for _, fields in entries:
                    events = msgpack.unpackb(fields[b"events"])
                    self.seconds += [
                        (now - event["ts"]) / 1e9
                        for event in events
                        if event["symbol"] in self._symbols and event["source"] == "ws"
                    ]
        redis.close()

    def stop(self) -> list[float]:
        """End, and return the latencies in order of size."""
        self._over.set()
        self.join(5)
        return sorted(self.seconds)


def resources(pid: int) -> tuple[int, int]:
    """Resident bytes and open file descriptors of a process."""
    proc = Path(f"/proc/{pid}")
    return int((proc / "statm").read_text().split()[1]) * 4096, len(list((proc / "fd").iterdir()))


class Soak(NamedTuple):
    """What a run showed."""

    books: Books
    latency: list[float]
    rss: list[int]
    descriptors: list[int]
    faults: Counter[str]
    healing: float
    """Seconds after the last fault until everything was stored and no gap was open."""


def _until_newer_trades_are_stored(exchange: Simulated, dsn: str) -> None:
    """Wait for a trade of each symbol after all that was printed: only a later one shows that others are missing."""
    printed = {name: state["next_trade_id"] for name, state in exchange.control("state")["symbols"].items()}

    def all_newer() -> bool:
        newest = rows(dsn, "select symbol, max(id::int8) from trades group by 1")
        stored = {symbol.replace("/", ""): number for symbol, number in newest}
        return all(stored.get(name, -1) > number for name, number in printed.items())

    wait_until("later trades of every symbol are stored", all_newer)


def soak(marketd: Marketd, exchange: Simulated, *, seconds: float, per_minute: float, seed: int, spare: int) -> Soak:
    """Let random faults happen, then let everything heal, and look at the books."""
    _, info = get(f"{exchange.url}/api/v3/exchangeInfo")
    names = [f"{symbol['baseAsset']}/{symbol['quoteAsset']}" for symbol in json.loads(info)["symbols"]]
    spared = names[-spare:] if spare else []
    marketd.configure(exchange.exchange(json.dumps(names)))
    marketd.start().ready()
    assert marketd.process is not None
    urls = marketd.urls()
    wait_until("every symbol is stored", lambda: set(names) <= set(_stored(urls["dsn"])[0]))
    latency = Latency(urls["redis"], spared or names)
    latency.start()
    chaos = {"seed": seed, "seconds": seconds, "per_minute": per_minute, "spare": spared}
    exchange.control("chaos", "POST", chaos)
    rss, descriptors = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(5.0, seconds / 10))  # the duration is the input here, not a wait
        now = resources(marketd.process.pid)
        rss.append(now[0])
        descriptors.append(now[1])
    faults = Counter(fault["kind"] for fault in exchange.control("faults") if fault["fired"])
    exchange.control("faults", "DELETE")
    seen = latency.stop()
    _until_newer_trades_are_stored(exchange, urls["dsn"])
    exchange.control("pause", "POST")

    def settled() -> bool:
        books = audit(exchange, urls["dsn"], names)
        return not books.missing and not any(state in {"open", "filling"} for _, state in books.gaps)

    over = time.monotonic()
    try:
        wait_until("everything is stored and no gap is open", settled, 240 + seconds / 6)
    finally:
        books = audit(exchange, urls["dsn"], names)
        print(books)
    return Soak(books, seen, rss, descriptors, faults, time.monotonic() - over)


@contextmanager
def _alone(rate: int, symbols: int) -> Iterator[tuple[Marketd, Simulated]]:
    with tempfile.TemporaryDirectory(prefix="mds-", ignore_cleanup_errors=True) as folder:
        exchange = Simulated(rate, symbols=symbols)
        marketd = Marketd(Path(folder))
        try:
            yield marketd, exchange
        finally:
            if marketd.process is not None:
                marketd.stop()
            exchange.close()


def main() -> None:
    """Run it by hand and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--per-minute", type=float, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spare", type=int, default=0)
    asked = parser.parse_args()
    with _alone(asked.rate, asked.symbols) as (marketd, exchange):
        done = soak(
            marketd, exchange, seconds=asked.seconds, per_minute=asked.per_minute, seed=asked.seed, spare=asked.spare
        )
    print("faults:", dict(done.faults))
    print(f"everything healed {done.healing:.0f} s after the last fault")
    print("resident MB every 5 s:", [round(size / 1e6) for size in done.rss])
    if done.latency:
        for share in (0.5, 0.99, 0.999):
            print(f"latency p{share * 100:g}: {done.latency[int(len(done.latency) * share)] * 1e3:.1f} ms")
    quarter = max(1, len(done.rss) // 4)
    for name, values, unit in (("resident MB", done.rss, 1e6), ("descriptors", done.descriptors, 1)):
        first, last = max(values[:quarter]) / unit, max(values[-quarter:]) / unit
        print(f"{name}: {first:.0f} in the first quarter, {last:.0f} in the last")


if __name__ == "__main__":
    main()
