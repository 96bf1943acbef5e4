"""A daemon on a simulated exchange, and what can be seen of it from outside: rows, streams, metrics, /ready."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.sql import rows


class Running(NamedTuple):
    """A daemon on a simulated exchange."""

    marketd: Marketd
    exchange: Simulated
    redis: "Redis[bytes]"
    dsn: str

    def rows(self, query: str, *arguments: Any) -> list[Any]:
        return rows(self.dsn, query, *arguments)

    def metric(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(get(f"{self.marketd.http}/metrics")[1])
        samples = (sample for family in families for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def events(self, channel: str, symbol: str, since: bytes = b"-") -> list[dict[str, Any]]:
        """The events of a symbol since a stream position."""
        frames = self.redis.xrange(f"md:binance:{channel}", "(" + since.decode() if since != b"-" else "-")
        events = (event for _, fields in frames for event in msgpack.unpackb(fields[b"events"]))
        return [event for event in events if event["symbol"] == symbol]

    def snapshots(self, symbol: str, since: bytes) -> list[dict[str, Any]]:
        return [event for event in self.events("book", symbol, since) if event["kind"] == "snapshot"]

    def ready(self) -> tuple[int, dict[str, str]]:
        """The status of /ready, and what it says of each thing that is not."""
        status, text = get(f"{self.marketd.http}/ready")
        checks = json.loads(text)["checks"] if status else {}
        return status, {name: check["detail"] for name, check in checks.items() if not check["ok"]}

    def position(self, channel: str) -> bytes:
        return self.redis.xrevrange(f"md:binance:{channel}", count=1)[0][0]

    def printed(self, symbol: str, first: int) -> dict[int, tuple[Decimal, Decimal]]:
        log = self.exchange.control(f"log?symbol={symbol.replace('/', '')}&from_id={first}")
        return {number: (Decimal(price), Decimal(amount)) for number, price, amount, *_ in log}

    def whole(self, symbol: str) -> bool:
        """Whether every trade that was printed up to the newest one stored is stored, with its values."""
        rows = self.rows("select id, price, amount from trades where symbol = $1", symbol)
        stored = {int(row["id"]): (row["price"], row["amount"]) for row in rows}
        printed = self.printed(symbol, min(stored))
        return stored == {number: value for number, value in printed.items() if number <= max(stored)}

    def gaps(self, symbol: str, channel: str) -> list[Any]:
        return self.rows("select * from feed_gaps where symbol = $1 and channel = $2", symbol, channel)


@contextmanager
def running_daemon(
    rate: int, symbols: str = '["BTC/USDT", "ETH/USDT"]', servers: str = "", variables: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a daemon on an exchange that prints `rate` trades a second, until the block ends.

    `servers`: TOML that names others than its own; `variables`: further ones of its environment.
    """
    with tempfile.TemporaryDirectory(prefix="mdf-", ignore_cleanup_errors=True) as folder:
        exchange, marketd = Simulated(rate), Marketd(Path(folder), variables or {})
        marketd.configure(servers + exchange.exchange(symbols))
        try:
            marketd.start().ready()
            urls = marketd.urls()
            with Redis.from_url(urls["redis"]) as redis:
                yield Running(marketd, exchange, redis, urls["dsn"])
        finally:
            if marketd.process is not None:
                marketd.stop()
            exchange.close()
        wait_until("the servers of the daemon have ended", lambda: not marketd.children())
