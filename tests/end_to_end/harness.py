"""Runs the real daemon and the simulated exchange as processes, as a user would."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from redis import Redis

from daemon.config import load
from daemon.servers import reachable

MARKETD = [sys.executable, "-m", "daemon"]
PATIENCE = 150.0
"""Seconds after which a test gives up: far more than a slow and busy machine needs."""


def wait_until(what: str, condition: Callable[[], Any], deadline: float = PATIENCE) -> Any:
    """Return the condition's first true value; fail naming what did not happen."""
    end = time.monotonic() + deadline
    pause = 0.02
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline:g} s: {what}")
        # a condition that is dear to look at must not be what keeps the machine busy
        pause = min(0.5, max(1.2 * pause, time.monotonic() - began))
        time.sleep(pause)


def environment() -> dict[str, str]:
    """The environment of a program of ours: no settings, and what is compiled once is kept for the next start."""
    left_out = ("MARKETD_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> tuple[int, str]:
    """Return status and body; status 0 while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Marketd:
    """One data directory with its configuration, and the daemon on it; `variables` are its environment's own."""

    def __init__(self, home: Path, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        self.home = home
        self.variables = variables
        self.http = f"http://127.0.0.1:{free_port()}"
        self.config = home / "marketd.toml"
        self.log = home / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure()

    def configure(self, exchanges: str = "") -> None:
        listen = self.http.removeprefix("http://")
        self.config.write_text(
            f'version = 1\ndata_dir = "{self.home / "data"}"\n[http]\nlisten = "{listen}"\n{exchanges}'
        )

    def environment(self) -> dict[str, str]:
        return {**environment(), "MARKETD_CONFIG": str(self.config), **self.variables}

    def start(self, *options: str) -> "Marketd":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*MARKETD, "run", *options], env=self.environment(), cwd=self.home, stdout=log, stderr=log
            )
        return self

    def ready(self, deadline: float = PATIENCE) -> "Marketd":
        def check() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                pytest.fail(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
            return get(f"{self.http}/ready")[0] == 200

        try:
            wait_until("the daemon is ready", check, deadline)
        except BaseException:
            print(self.log.read_text()[-6000:])
            raise
        return self

    def stop(self, sig: int = signal.SIGTERM, deadline: float = 60.0) -> int:
        assert self.process is not None
        self.process.send_signal(sig)
        status = self.process.wait(deadline)
        self.process = None
        return status

    def run(self, *arguments: str, deadline: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MARKETD, *arguments], env=self.environment(), cwd=self.home, capture_output=True, text=True,
            timeout=deadline, check=False,
        )  # fmt: skip

    def urls(self) -> dict[str, str]:
        """The servers' URLs, as `marketd env` finds them."""
        return reachable(load(self.config, self.environment()))._asdict()

    def urls_in_a_shell(self) -> dict[str, str]:
        """What `marketd env` prints, as a shell would read it."""
        answer = self.run("env")
        assert answer.returncode == 0, answer.stderr
        script = answer.stdout + '\nprintf \'%s\\n%s\' "$REDIS_URL" "$DATABASE_URL"'
        redis, dsn = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split("\n")
        return {"redis": redis, "dsn": dsn}

    def trading(self) -> None:
        """Wait until paper trading takes commands: a command that waits for long is not carried out any more."""
        with Redis.from_url(self.urls()["redis"]) as redis:
            stream = "md:paper_commands"
            wait_until("paper trading runs", lambda: redis.exists(stream) and redis.xinfo_groups(stream))

    def children(self) -> list[int]:
        """The pids of processes whose command line names this data directory or that descend from the daemon."""
        found = []
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                text = status.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                cwd = str((status.parent / "cwd").readlink())
                if str(self.home) in text or cwd.startswith(str(self.home)):
                    found.append(int(status.parent.name))
        return [pid for pid in found if pid != os.getpid()]


class Simulated:
    """`marketd simulate` as its own process."""

    def __init__(self, rate: int, seed: int = 7, symbols: int = 6, history_days: int = 0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        options = {"port": self.port, "rate": rate, "seed": seed, "symbols": symbols, "history-days": history_days}
        command = [
            *MARKETD,
            "simulate",
            *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        ]
        self.process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        wait_until("the simulated exchange answers", lambda: get(f"{self.url}/api/v3/ping")[0] == 200)

    def exchange(self, symbols: str = '["BTC/USDT", "ETH/USDT"]') -> str:
        """The configuration that points the Binance translator at this exchange."""
        return (
            f'[[exchanges]]\nname = "binance"\nsymbols = {symbols}\nchannels = ["trade", "ticker", "book", "candle"]\n'
            f'endpoints = {{ rest = "{self.url}", websocket = "ws://127.0.0.1:{self.port}" }}\n'
        )

    def control(self, path: str, method: str = "GET", value: Any = None) -> Any:
        """Ask the control endpoint; `value` is what a POST carries."""
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/control/{path}", method=method, data=data)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or "null")

    def fault(self, kind: str, **arguments: Any) -> int:
        """Let something go wrong; return the fault's number."""
        number: int = self.control("faults", "POST", {"kind": kind, **arguments})["ids"][0]
        return number

    def fired(self, number: int) -> int:
        """How often a fault has struck."""
        return next(int(each["fired"]) for each in self.control("faults") if each["id"] == number)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
