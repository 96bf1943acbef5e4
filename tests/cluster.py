"""A Redis Cluster of local processes for tests: masters, and a replica of each where wanted."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from daemon.embedded import exec_child, wheels

SLOTS = 16_384
DEADLINE = 30
_OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--appendonly", "no", "--save", "",
            "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0",
            "--loglevel", "warning")  # fmt: skip


def reserved() -> socket.socket:
    """Keep a port for a server of ours while the socket is open: whoever asks for any port is given another one."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only now: a server that asks for this one may have it
    return held


class Node:
    """One server of the cluster; it dies with the tests. `front`: the port that clients are told, if not its own."""

    def __init__(self, folder: Path, options: tuple[str, ...], password: str | None) -> None:
        self._folder = folder
        self._options = options
        self._password = password
        self._ports = (reserved(), reserved())
        self.port, self.bus_port = (held.getsockname()[1] for held in self._ports)
        self.front: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        front = ("--cluster-announce-port", str(self.front)) if self.front else ()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", exec_child.__file__, str(os.getpid()), str(int(signal.SIGKILL)), "",
             wheels.valkey_server(), *_OPTIONS, "--port", str(self.port), "--cluster-port", str(self.bus_port),
             *front, *self._options], cwd=self._folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)

    def close(self) -> None:
        """End the server and give its ports back."""
        if self.runs:
            self.kill()
        for held in self._ports:
            held.close()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def ask(self, *command: Any) -> Any:
        at_once = Retry(NoBackoff(), 0)
        async with Redis(
            port=self.port, password=self._password, protocol=2, socket_timeout=1, retry=at_once
        ) as client:
            return await client.execute_command(*command)


class Cluster:
    """`masters` nodes with a share of the slots each, and as many replicas of each as wanted.

    `options` go to every server, `password` is that of its default user.
    """

    def __init__(
        self,
        folder: Path,
        masters: int = 3,
        replicas: int = 0,
        options: tuple[str, ...] = (),
        password: str | None = None,
    ) -> None:
        self.nodes = [Node(folder / str(n), options, password) for n in range(masters * (1 + replicas))]
        self._masters = masters

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def url_of(self, user: str) -> str:
        """The URL for a user whose password is his name."""
        return self.url.replace("://", f"://{user}:{user}@")

    async def start(self) -> None:
        for node in self.nodes:
            node.start()
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for node in self.nodes:
            await _eventually(lambda node=node: node.ask("PING"))
        for number, node in enumerate(masters):
            first, last = (SLOTS * edge // self._masters for edge in (number, number + 1))
            await node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
        for node in self.nodes:
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", self.nodes.index(node) + 1)
            await self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for node in self.nodes:
            await _eventually(lambda node=node: self._joined(node))
        for number, node in enumerate(replicas):
            master = await masters[number % self._masters].ask("CLUSTER", "MYID")
            await node.ask("CLUSTER", "REPLICATE", master)
        for node in replicas:
            await _eventually(lambda node=node: _in_sync(node))

    async def _joined(self, node: Node) -> bool:
        info = await node.ask("CLUSTER", "INFO")
        return b"cluster_state:ok" in info and f"cluster_known_nodes:{len(self.nodes)}".encode() in info

    async def master_of(self, key: str) -> Node | None:
        """The node that serves a key: the one that says so of itself; None while there is none."""
        for node in self.nodes:
            try:
                await node.ask("TYPE", key)
            except (RedisError, OSError):  # MOVED, or nobody there
                continue
            if (await node.ask("ROLE"))[0] == b"master":
                return node
        return None

    async def replica_of(self, master: Node) -> Node:
        """A replica of a master, in sync with it."""
        ports = [int(port) for _, port, _ in (await master.ask("ROLE"))[2]]
        return next(node for node in self.nodes if node.port in ports)

    async def healed(self) -> None:
        """Wait until every master has its replica again."""
        for node in self.nodes:
            await _eventually(lambda node=node: _whole(node))

    def stop(self) -> None:
        for node in self.nodes:
            node.close()


async def _in_sync(node: Node) -> bool:
    return (await node.ask("INFO", "replication")).get("master_link_status") == "up"


async def _whole(node: Node) -> bool:
    """A master with a replica that is there, or a replica that is in sync."""
    info = await node.ask("INFO", "replication")
    return info.get("master_link_status") == "up" or info.get("slave0", {}).get("state") == "online"


async def _eventually(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                if await condition():
                    return
            except (RedisError, OSError):
                pass
            await asyncio.sleep(0.05)
