"""What `marketd env` prints is read by shells, and by programs that take each line literally."""

import subprocess

import pytest

from daemon.cli import main


def env(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["env"])
    assert not ended.value.code
    return capsys.readouterr().out


def as_a_shell_reads(lines: str) -> str:
    script = f'{lines}\nprintf %s "$DATABASE_URL"'
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """Set what embedded servers say of themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PGPORT", raising=False)

    def say(redis: str, dsn: str) -> None:
        monkeypatch.setattr("daemon.servers.running_urls", lambda _: (redis, dsn))

    return say


def test_the_embedded_servers_urls_need_no_quotes(capsys, running):
    running("unix:///home/u/d/v.sock", "postgresql://marketd@/marketd?host=/home/u/d/postgres&port=5432")
    lines = env(capsys)
    assert lines.splitlines() == [
        "REDIS_URL=unix:///home/u/d/v.sock",
        "DATABASE_URL=postgresql://marketd@/marketd?host=/home/u/d/postgres",
    ]
    assert as_a_shell_reads(lines) == "postgresql://marketd@/marketd?host=/home/u/d/postgres"


@pytest.mark.parametrize(
    "dsn", ["postgresql://u@h/d?sslmode=require&port=5433", "postgresql://u:a$b@h/d", "postgresql://u:a b'c@h/d"]
)
def test_what_a_shell_would_read_otherwise_is_quoted(capsys, running, dsn):
    running("unix:///v.sock", dsn)
    assert as_a_shell_reads(env(capsys)) == dsn


def test_the_port_is_named_where_the_environment_says_another(capsys, running, monkeypatch):
    monkeypatch.setenv("PGPORT", "5433")
    running("unix:///v.sock", "postgresql://marketd@/marketd?host=/p&port=5432")
    assert as_a_shell_reads(env(capsys)).endswith("&port=5432")
