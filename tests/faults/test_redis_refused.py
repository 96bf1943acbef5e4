"""Redis is out of memory, or evicts, when the daemon starts: it refuses with a sentence, and leaves nothing there.

One that becomes so while the daemon runs is in test_servers_misbehave.py.
"""

import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd
from tests.valkey import Server


@pytest.mark.parametrize(
    ("setting", "value", "status", "sentence"),
    [
        ("maxmemory-policy", "allkeys-lru", 78, "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory", "1kb", 1, "is out of memory"),
    ],
)
def test_a_server_that_evicts_or_is_full_is_refused_at_the_start(
    server: Server, postgres_dsn: str, marketd: Marketd, setting: str, value: str, status: int, sentence: str
):
    marketd.configure(f'[bus]\nurl = "{server.url}"\n[store]\ndsn = "{postgres_dsn}"\n')
    with Redis.from_url(server.url) as redis:
        redis.config_set(setting, value)
        refused = marketd.run("run")
        assert refused.returncode == status
        assert sentence in refused.stderr.splitlines()[-1]
        assert redis.dbsize() == 0
