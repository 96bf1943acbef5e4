"""The daemon as a user of its own on a Redis with the shipped users, and what other users get of it."""

import asyncio
import json
from pathlib import Path

from tests.end_to_end.harness import Marketd, get, wait_until
from tests.valkey import Server, with_passwords


def test_the_daemon_needs_no_more_than_its_user_may(marketd: Marketd, server_dir: Path, bus_prefix: str):
    server = Server(server_dir / bus_prefix)
    server.folder.mkdir()
    (server.folder / "users.acl").write_text(with_passwords())
    asyncio.run(server.start("--aclfile", "users.acl"))
    try:
        marketd.configure(f'[bus]\nurl = "{server.url_of("reader")}"\n')
        as_reader = marketd.home / "reader.toml"
        marketd.config.rename(as_reader)
        marketd.configure(f'[bus]\nurl = "{server.url_of("marketd")}"\n')
        marketd.start("--demo").ready()

        tail = marketd.run("--config", str(as_reader), "tail", "--json", "--count", "5")
        assert tail.returncode == 0, tail.stderr
        assert len([json.loads(line) for line in tail.stdout.splitlines()]) == 5
        refused = marketd.run("--config", str(as_reader), "ctl", "drain")
        assert refused.returncode == 1
        assert "permission" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert marketd.run("ctl", "ping").returncode == 0

        def rows() -> bool:
            return 'marketd_rows_written_total{table="trades"}' in get(f"{marketd.http}/metrics")[1]

        wait_until("rows are written", rows)
        assert marketd.stop() == 0
        assert "NOPERM" not in marketd.log.read_text()
        assert "permission" not in marketd.log.read_text()
    finally:
        server.kill()
