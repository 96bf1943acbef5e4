"""The daemon on a Redis Cluster of real processes: it loses a master under load, and every trade is stored once."""

import asyncio
from collections.abc import Callable
from contextlib import closing

from redis.cluster import RedisCluster

from tests.cluster import Cluster
from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.end_to_end.test_exactly_once import stream_trades, table_trades


def test_a_master_dies_and_every_trade_is_stored_once(
    marketd: Marketd, simulate: Callable[..., Simulated], server_dir, bus_prefix: str
):
    exchange = simulate(rate=2_000)
    cluster = Cluster(server_dir / bus_prefix, masters=3, replicas=1)
    try:
        asyncio.run(cluster.start())
        marketd.configure(f'[bus]\nurl = "{cluster.url}"\n' + exchange.exchange())
        marketd.start().ready()
        with closing(RedisCluster("127.0.0.1", cluster.nodes[0].port)) as redis:
            wait_until("trades are published", lambda: sum(stream_trades(redis).values()) > 500)
        master = asyncio.run(cluster.master_of("md:binance:trade"))
        assert master is not None
        master.kill()
        wait_until("it is not ready", lambda: get(f"{marketd.http}/ready")[0] == 503)
        wait_until("it is ready again", lambda: get(f"{marketd.http}/ready")[0] == 200)
        survivor = next(node for node in cluster.nodes if node.runs)
        with closing(RedisCluster("127.0.0.1", survivor.port)) as redis:
            before = sum(stream_trades(redis).values())
            wait_until("trades are published again", lambda: sum(stream_trades(redis).values()) > before + 500)
            exchange.control("pause", "POST")
            dsn = marketd.urls()["dsn"]

            def all_stored() -> bool:
                stored, _ = table_trades(dsn)
                return stored == stream_trades(redis) and max(stored.values()) == 1

            wait_until("everything is stored", all_stored)
        stored, gaps = table_trades(dsn)
        for symbol in ("BTC/USDT", "ETH/USDT"):
            ids = {int(number) for name, number in stored if name == symbol}
            assert len(ids) == max(ids) - min(ids) + 1
        assert not gaps
        assert marketd.run("ctl", "ping").returncode == 0
        assert marketd.stop() == 0
    finally:
        cluster.stop()
