"""What a message of an exchange costs until it stands on Redis: marketd, cryptofeed and ccxt.pro on the same feeds.

    python -m tests.bench.peers [--seconds 10] [--rates 4000 200000] [--peers marketd ccxt] [--python cryptofeed=PATH]

Each runs alone in a process of its own, against a simulated exchange and a Valkey of its own (with an append-only file,
over TCP), with aggregated trades and order-book updates each 100 ms of the same six symbols, on uvloop:

- marketd: the collector as in the daemon. An event is a trade or a book update as the exchange sent it.
- cryptofeed: `TradeStream` and `BookStream` as they come. An event is a stream entry: a trade, a book update (each also
  applied to cryptofeed's book), and a whole book after every thousandth update.
- ccxt.pro: `watch_trades_for_symbols` and `watch_order_book_for_symbols`. An event is a trade, or the 20 best levels of
  a book each time that a watch returns one: one book where several have changed at once.

The unit of work is the same for all: a message, as the exchange counts what it has sent. CPU time is that of the peer's
process from a standstill until it has come to rest after the exchange has stopped, over all messages of that time;
where much is lost that is little work done, and µs per event says more.
`rates` are order events a second; about one in seven makes a trade message. Where a rate is beyond the exchange, it
sends what it can. `behind` is what it has sent and does not stand on Redis yet when it is stopped, `lost` what never
does; books may be summed up instead. A peer that is not installed (`pip install -e '.[bench]'`) is left out; cryptofeed
3 needs Python 3.13, which `--python` can name.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from tests.bench.processes import cpu, resident
from tests.bench.servers import valkey
from tests.end_to_end.harness import Simulated, free_port, wait_until

SYMBOLS = "BTC/USDT,ETH/USDT,SOL/USDT,BNB/USDT,XRP/USDT,ETH/BTC"
HERE = Path(__file__).parent
PEERS = {"marketd": "collector.py", "cryptofeed": "peer_cryptofeed.py", "ccxt": "peer_ccxt.py"}
MODULES = {"marketd": "daemon.collectors.exchange", "cryptofeed": "cryptofeed.backends.redis", "ccxt": "ccxt.pro"}
START_RATE = 1_000
STILL = 1.5
"""Seconds without a new entry after which nothing waits any more; cryptofeed collects for half a second."""
PATIENCE = 120.0


class Outcome(NamedTuple):
    """What came of one run: messages and events by kind, `trade` and `book`."""

    seconds: float
    sent: Counter[str]
    in_time: Counter[str]
    """Messages sent when the exchange was stopped, and events that stood on Redis then."""
    all_sent: Counter[str]
    landed: Counter[str]
    """The same when everything had come to rest."""
    cpu: float
    resident: float
    """MB of the peer at that stop."""

    @property
    def each(self) -> float:
        """CPU µs per message."""
        return self.cpu / self.all_sent.total() * 1e6


def installed(python: str, peer: str) -> bool:
    command = [python, "-P", "-c", f"import {MODULES[peer]}, redis, uvloop"]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL, env=environment()).returncode == 0


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(HERE.parents[1])}


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A peer in an empty folder of its own; what it has said is shown when it ends by itself."""
    with tempfile.TemporaryDirectory(prefix="peer-") as folder, (Path(folder) / "said").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment())
        try:
            yield process
        finally:
            if process.poll() is not None:
                said.seek(0)
                print(f"{command[2]} has ended by itself: {said.read()[-2_000:]}")
            process.kill()
            process.wait()


def kind(name: str) -> str:
    return "trade" if "trade" in name.lower() else "book"


def sent(exchange: Simulated) -> Counter[str]:
    count: Counter[str] = Counter()
    for stream, messages in exchange.control("state")["sent"].items():
        count[kind(stream)] += messages
    return count


def lengths(redis: Redis) -> dict[bytes, int]:
    """How many entries each stream of trades or books holds."""
    names = [name for name in redis.scan_iter(_type="stream") if b"trade" in name or b"book" in name]
    return {name: redis.xlen(name) for name in names}


def landed(redis: Redis, held: dict[bytes, int]) -> Counter[str]:
    """Count the events in so many entries of each stream; marketd's are frames that say how many they hold."""
    count: Counter[str] = Counter()
    for name, length in held.items():
        framed = name.startswith(b"md:")
        events = sum(int(fields[b"n"]) for _, fields in redis.xrange(name, count=length)) if framed else length
        count[kind(name.decode())] += events
    return count


def started(redis: Redis) -> bool:
    return {kind(name.decode()) for name in lengths(redis)} == {"trade", "book"}


def rest(redis: Redis) -> None:
    """Wait until nothing comes any more."""
    began = last = time.monotonic()
    held = lengths(redis)
    while (now := time.monotonic()) - last < STILL and now - began < PATIENCE:
        time.sleep(0.1)
        if (more := lengths(redis)) != held:
            held, last = more, time.monotonic()


def run(command: list[str], rate: int, seconds: float) -> Outcome:
    exchange, port = Simulated(START_RATE, seed=1), free_port()
    try:
        with valkey(port) as url, running([*command, exchange.url, url, SYMBOLS]) as peer:
            redis = Redis(port=port, socket_timeout=PATIENCE)
            wait_until("trades and books come", lambda: started(redis) or peer.poll() is not None)
            assert peer.poll() is None, "the peer has ended by itself"
            exchange.control("pause", "POST")
            rest(redis)
            sent_before, landed_before, cpu_before = sent(exchange), landed(redis, lengths(redis)), cpu(peer.pid)
            exchange.control(f"rate?value={rate}", "POST")
            exchange.control("resume", "POST")
            began = time.monotonic()
            time.sleep(seconds)
            exchange.control("pause", "POST")
            took, sent_in_time, held = time.monotonic() - began, sent(exchange), lengths(redis)
            size = resident(peer.pid)
            rest(redis)
            spent = cpu(peer.pid) - cpu_before
            return Outcome(
                took, sent_in_time - sent_before, landed(redis, held) - landed_before, sent(exchange) - sent_before,
                landed(redis, lengths(redis)) - landed_before, spent, size,
            )  # fmt: skip
    finally:
        exchange.close()


def line(peer: str, outcome: Outcome, ours: float | None) -> str:
    messages = outcome.sent.total()
    lost = {each: max(0.0, 1 - outcome.landed[each] / outcome.all_sent[each]) for each in ("trade", "book")}
    return (
        f"{peer:<10} {messages / outcome.seconds:9,.0f}  {outcome.in_time.total() / outcome.seconds:10,.0f}"
        f"  {outcome.each:10.1f}  {f'{outcome.each / ours:8.1f}' if ours else '       -'}"
        f"  {outcome.cpu / outcome.landed.total() * 1e6:8.1f}  {messages - outcome.in_time.total():7,}"
        f"  {lost['trade']:11.1%}  {lost['book']:10.1%}  {outcome.resident:4.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rates", type=int, nargs="+", default=[4_000, 20_000, 200_000])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="run a peer in another one")
    arguments = parser.parse_args()
    pythons = dict(each.split("=", 1) for each in arguments.python)
    found = [peer for peer in arguments.peers if installed(pythons.get(peer, sys.executable), peer)]
    for peer in arguments.peers:
        if peer not in found:
            print(f"{peer} is left out: it is not installed for {pythons.get(peer, sys.executable)}")
    for rate in arguments.rates:
        print(f"\n{rate:,} order events/s asked for, {arguments.seconds:g} s, load average {os.getloadavg()[0]:.1f}")
        print(
            "              sent/s  on Redis/s  µs/message   to ours  µs/event   behind  lost trades  lost books    MB"
        )
        ours = None
        for peer in found:
            command = [pythons.get(peer, sys.executable), "-P", str(HERE / PEERS[peer])]
            outcome = run(command, rate, arguments.seconds)
            ours = outcome.each if peer == "marketd" else ours
            print(line(peer, outcome, ours), flush=True)


if __name__ == "__main__":
    main()
