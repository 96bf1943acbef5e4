"""A Redis Cluster of local processes for tests: masters, and a replica of each where wanted."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from daemon.embedded import wheels

SLOTS = 16_384
DEADLINE = 30
_OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--appendonly", "no", "--save", "",
            "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0",
            "--loglevel", "warning")  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses; all are taken at once so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Node:
    """One server of the cluster."""

    def __init__(self, folder: Path, port: int, bus_port: int, options: tuple[str, ...], password: str | None) -> None:
        self.folder = folder
        self.port = port
        self.bus_port = bus_port
        self._options = options
        self._password = password
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [wheels.valkey_server(), *_OPTIONS, "--port", str(self.port), "--cluster-port", str(self.bus_port),
             *self._options], cwd=self.folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def ask(self, *command: Any) -> Any:
        at_once = Retry(NoBackoff(), 0)
        async with Redis(port=self.port, password=self._password, protocol=2, socket_timeout=1, retry=at_once) as client:
            return await client.execute_command(*command)


class Cluster:
    """`masters` nodes with a share of the slots each, and as many replicas of each as wanted.

    `options` go to every server, `password` is that of its default user; `fronts` are ports that they tell clients in
    place of their own.
    """

    def __init__(
        self,
        folder: Path,
        masters: int = 3,
        replicas: int = 0,
        options: tuple[str, ...] = (),
        password: str | None = None,
        fronts: Sequence[int] = (),
    ) -> None:
        count = masters * (1 + replicas)
        ports = free_ports(2 * count)
        announced = [("--cluster-announce-port", str(port)) for port in fronts] or [()] * count
        self.nodes = [
            Node(folder / str(n), ports[2 * n], ports[2 * n + 1], (*options, *announced[n]), password)
            for n in range(count)
        ]
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
            if node.runs:
                node.kill()


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
