"""What the daemon needs: memory over time, start-up to ready, and what one symbol or one handler more costs.

    python -m tests.bench.resources symbols [--seconds 60]
    python -m tests.bench.resources handlers [--seconds 30]
    python -m tests.bench.resources hour [--seconds 3600] [--symbols 200] [--rate 8000]

The daemon runs as a user would run it, on its own Valkey and PostgreSQL, at the simulated exchange. Resident memory is
the daemon's process alone; `all` adds the two servers (shared memory counted once for each process of PostgreSQL).
`rate` is order events a second; events a second on the bus are printed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from daemon.roles import HANDLERS
from tests.bench.processes import cpu, resident
from tests.end_to_end.harness import Marketd, Simulated, get

MB = 1e6


class Seen(NamedTuple):
    """A look at a running daemon."""

    at: float
    rss: float
    """MB"""
    everything: float
    """MB, with the servers."""
    cpu: float
    """Seconds."""
    published: float
    """Events."""
    lag: float
    """Of the handler that is farthest behind (s)."""


def look(marketd: Marketd) -> Seen:
    assert marketd.process is not None
    pid = marketd.process.pid
    samples = [
        s for family in text_string_to_metric_families(get(f"{marketd.http}/metrics")[1]) for s in family.samples
    ]
    published = sum(s.value for s in samples if s.name == "marketd_events_published_total")
    lag = max((s.value for s in samples if s.name == "marketd_handler_lag_seconds"), default=0.0)
    everything = sum(resident(each) for each in {pid, *marketd.children()})
    return Seen(time.monotonic(), resident(pid), everything, cpu(pid), published, lag)


def symbols_of(exchange: Simulated) -> list[str]:
    _, info = get(f"{exchange.url}/api/v3/exchangeInfo")
    return [f"{symbol['baseAsset']}/{symbol['quoteAsset']}" for symbol in json.loads(info)["symbols"]]


@contextmanager
def running(configuration: str, *options: str) -> Iterator[tuple[Marketd, float]]:
    """A daemon in a new folder, and the seconds that it took until it was ready."""
    with tempfile.TemporaryDirectory(prefix="mdr-", ignore_cleanup_errors=True) as folder:
        marketd = Marketd(Path(folder))
        marketd.configure(configuration)
        began = time.monotonic()
        marketd.start(*options).ready()
        try:
            yield marketd, time.monotonic() - began
        finally:
            marketd.stop()


def rates(before: Seen, after: Seen) -> str:
    seconds = after.at - before.at
    events = (after.published - before.published) / seconds
    return f"{events:9,.0f} {(after.cpu - before.cpu) / seconds:8.0%} {after.rss:8.0f} {after.everything:8.0f}"


def symbols(counts: list[int], rate: int, seconds: float) -> None:
    """Memory and time to ready by number of symbols, at the same rate of all together."""
    exchange = Simulated(rate, symbols=max(counts))
    names = symbols_of(exchange)
    print("symbols  ready s   again s  events/s  of a core   RSS MB   all MB")
    found = []
    try:
        for count in counts:
            with running(exchange.exchange(json.dumps(names[:count]))) as (marketd, cold):
                marketd.stop()
                began = time.monotonic()
                marketd.start().ready()
                warm = time.monotonic() - began
                time.sleep(5)
                before = look(marketd)
                time.sleep(seconds)
                after = look(marketd)
            found.append((count, after.rss))
            print(f"{count:7} {cold:8.1f} {warm:9.1f} {rates(before, after)}")
    finally:
        exchange.close()
    for (fewer, less), (more, bigger) in pairwise(found):
        print(f"from {fewer} to {more} symbols: {(bigger - less) / (more - fewer) * 1_000:.0f} KB each")


def handlers(rate: int, seconds: float) -> None:
    """Memory and time of a process by its handlers, one more each time; another process collects."""
    exchange = Simulated(rate, symbols=20)
    try:
        with running(exchange.exchange(json.dumps(symbols_of(exchange))), "--role", "collect") as (collector, _):
            urls = collector.urls()
            servers = f'[bus]\nurl = "{urls["redis"]}"\n[store]\ndsn = "{urls["dsn"]}"\n'
            print("handlers                                                        of a core   RSS MB")
            names = list(HANDLERS)
            for count in range(1, len(names) + 1):
                with running(servers, "--role", f"handle:{','.join(names[:count])}") as (marketd, _):
                    time.sleep(5)
                    before = look(marketd)
                    time.sleep(seconds)
                    after = look(marketd)
                share = (after.cpu - before.cpu) / (after.at - before.at)
                print(f"{', '.join(names[:count]):63} {share:8.1%} {after.rss:8.0f}")
    finally:
        exchange.close()


def hour(count: int, rate: int, seconds: float) -> None:
    """Memory over time."""
    exchange = Simulated(rate, symbols=count)
    try:
        with running(exchange.exchange(json.dumps(symbols_of(exchange)))) as (marketd, ready):
            print(f"ready after {ready:.1f} s\nminute  events/s  of a core   RSS MB   all MB    lag s")
            seen = [look(marketd)]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(min(60.0, max(0.0, end - time.monotonic())))
                seen.append(look(marketd))
                minute = (seen[-1].at - seen[0].at) / 60
                print(f"{minute:6.0f} {rates(seen[-2], seen[-1])} {seen[-1].lag:8.2f}", flush=True)
    finally:
        exchange.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("symbols", "handlers", "hour"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--rate", type=int)
    asked = parser.parse_args()
    if asked.what == "symbols":
        counts = [asked.symbols * share // 8 for share in (1, 2, 4, 8)]
        symbols(counts, asked.rate or 1_000, asked.seconds or 60.0)
    elif asked.what == "handlers":
        handlers(asked.rate or 1_000, asked.seconds or 30.0)
    else:
        hour(asked.symbols, asked.rate or 8_000, asked.seconds or 3_600.0)


if __name__ == "__main__":
    main()
