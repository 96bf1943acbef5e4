"""Planted secrets: whatever goes wrong, they stand in nothing that a running daemon or a command puts out.

`marketd env` is the one command that is there to print URLs with their passwords, for other programs.
"""

import asyncio
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.valkey import Server

CANARY = "c4n4ry"
BUS, STORE, URL, KEY, SECRET = (f"{CANARY}{name}7f" for name in ("bus", "store", "url", "key", "secret"))
WRONG = f"{CANARY}wrong9e"


@pytest.fixture
def server(server_dir: Path, bus_prefix: str) -> Iterator[Server]:
    folder = server_dir / bus_prefix
    folder.mkdir()
    made = Server(folder)
    asyncio.run(made.start("--requirepass", BUS))
    yield made
    made.kill()


def configuration(server: Server, dsn: str, exchange: Simulated, keys: Path) -> str:
    """Everything that may hold a secret, with one in it."""
    return (
        f'[bus]\nurl = "unix://default:{BUS}@{server.folder}/v.sock"\n'
        f'[store]\ndsn = "{dsn.replace("//marketd@", f"//marketd:{STORE}@")}"\n'
        '[log]\nlevel = "debug"\n'
        f'[[live]]\nportfolio = "real"\nexchange = "binance"\ncredentials = "{keys}"\nenabled = true\n'
        f'dry_run = false\nendpoint = "{exchange.url}"\nmax_order_notional = "100"\n'
        '[[exchanges]]\nname = "binance"\nsymbols = ["BTC/USDT"]\n'
        f'endpoints = {{ rest = "http://u:{URL}@127.0.0.1:{exchange.port}", '
        f'websocket = "ws://u:{URL}@127.0.0.1:{exchange.port}" }}\n'
    )


async def tables(dsn: str) -> str:
    """Everything that the database holds, as text."""
    sql = await asyncpg.connect(dsn)
    names = await sql.fetch(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'md')"
    )
    text = [str(await sql.fetch(f"select row_to_json(t)::text from {name} t")) for (name,) in names]
    await sql.close()
    return "\n".join(text)


def everything(redis: "Redis[bytes]") -> str:
    """Every stream, set, hash and string of the bus, as text, but for the commands: others wrote those."""
    found: list[Any] = []
    for key in redis.scan_iter("*"):
        if key == b"md:commands":
            continue
        match redis.type(key):
            case b"stream":
                found.append(redis.xrange(key))
            case b"hash":
                found.append(redis.hgetall(key))
            case b"set":
                found.append(redis.smembers(key))
            case b"string":
                found.append(redis.get(key))
    return repr(found)


def test_no_secret_stands_in_any_output(
    server: Server, database: str, marketd: Marketd, simulate: Callable[..., Simulated]
):
    exchange = simulate(rate=200)
    keys = marketd.home / "keys.json"
    keys.write_text(json.dumps({"apiKey": KEY, "secret": SECRET}))
    marketd.configure(configuration(server, database, exchange, keys))
    printed = []

    def run(*arguments: str) -> None:
        done = marketd.run(*arguments)
        printed.append(done.stdout + done.stderr)

    run("check")
    marketd.start().ready()
    with Redis(unix_socket_path=f"{server.folder}/v.sock", password=BUS) as redis:
        wait_until("trades come", lambda: redis.exists("md:binance:trade"))
        exchange.fault("corrupt", symbol="BTC/USDT", count=3)
        wait_until("a letter is kept", lambda: redis.xlen("md:dead"))
        exchange.fault("cut", clean=False)
        exchange.fault("http", path="/api", status=500, seconds=1)
        for command in ("config.get", "status", "collectors.list", "config.history", "dead.list", "portfolio.list"):
            run("ctl", command, "--json")
        run("ctl", "buy", "portfolio=real", "symbol=BTC/USDT", "quantity=0.001")
        run("ctl", "config.set", "path=bus.url", f"value=redis://:{WRONG}@127.0.0.1:1")
        run("ctl", "symbols.add", f"exchange=http://u:{WRONG}@nowhere", 'symbols=["ETH/USDT"]')
        printed.append(everything(redis))
    server.kill()
    wait_until("it is not ready", lambda: get(f"{marketd.http}/ready")[0] == 503)
    printed += [get(f"{marketd.http}/{path}")[1] for path in ("ready", "health", "metrics")]
    asyncio.run(server.start("--requirepass", BUS))
    wait_until("it is ready again", lambda: get(f"{marketd.http}/ready")[0] == 200)
    assert marketd.process is not None
    marketd.process.send_signal(signal.SIGABRT)  # Python says where it stood when it dies
    marketd.process.wait(10)
    marketd.process = None
    printed.append(asyncio.run(tables(database)))
    marketd.configure(
        configuration(server, database, exchange, keys).replace(BUS, WRONG).replace("/v.sock", "/none.sock")
    )
    run("run")
    run("check")
    marketd.configure(f'[store]\ndsn = "postgresql://u:{WRONG}@127.0.0.1:1/x"\n[bus]\nurll = "redis://:{WRONG}@x"\n')
    run("run")
    for url in (
        f"rediss+cluster://u:{WRONG}@127.0.0.1:1,127.0.0.1:2?ssl_password={WRONG}",
        f"redis://127.0.0.1:1?socket_timeout={WRONG}",
    ):
        marketd.configure(
            f'[bus]\nurl = "{url}"\n[store]\ndsn = "postgresql://127.0.0.1:1/x?user=u&password={WRONG}"\n'
        )
        run("check")
    printed.append(marketd.log.read_text())
    assert all(printed)
    assert not [text[max(0, at.start() - 200) : at.end() + 50] for text in printed for at in re.finditer(CANARY, text)]
