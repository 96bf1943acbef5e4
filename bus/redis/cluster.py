"""A client of Redis Cluster: keys are spread over several masters, each with replicas that take over.

https://valkey.io/topics/cluster-spec/. Streams keep their names: each lies wholly in the slot that its name hashes to,
and whatever the server touches together with a stream carries that name as hash tag, like `{md:binance:trade}:head`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from urllib.parse import urlsplit

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisClusterException, RedisError

from bus.errors import ConfigError

SCHEMES: Final = ("redis+cluster", "rediss+cluster")
DEFAULT_PORT: Final = 6379
NODE_DEADLINE: Final = 5.0
"""Seconds after which a node that has not answered may be frozen or cut off; longer than any of the client's reads."""
PROBE_DEADLINE: Final = 1.0
CONNECTIONS: Final = 1_000
"""Of one process to one node: reads block, so each stream of each handler has its own."""


class ClusterClient(RedisCluster):
    """redis-py's client, whose errors about the cluster as a whole are connection errors like all others.

    It notices a silent node without the library's own time-outs: on Python 3.11 those can swallow a cancellation.
    """

    _asking = False

    @classmethod
    def at(cls, url: str, **options: Any) -> "ClusterClient":
        """Return a client for `redis+cluster://user:password@host:port,host:port?option=value`. Raises ConfigError.

        The nodes named are asked for the others; one that answers is enough.
        """
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        rest = f"{parts.path}?{parts.query}"
        one_server = f"{parts.scheme.removesuffix('+cluster')}://{user}{at}"
        found: list[dict[str, Any]] = [dict(parse_url(f"{one_server}{host}{rest}")) for host in hosts.split(",")]
        nodes = [ClusterNode(one.pop("host", "localhost"), one.pop("port", DEFAULT_PORT)) for one in found]
        secure = found[0].pop("connection_class", None) is SSLConnection
        try:
            return cls(
                startup_nodes=nodes,
                require_full_coverage=False,  # the streams of the other masters go on
                max_connections=CONNECTIONS,
                ssl=secure,
                **{**options, **found[0]},
            )
        except (RedisClusterException, TypeError) as error:
            raise ConfigError(f"bus.url: {error}") from error

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send one command to the node that serves its key. Raises RedisError, OSError."""
        async with self._noticing():
            return await super().execute_command(*args, **kwargs)

    async def _determine_slot(self, command: str, *args: Any) -> int:
        # the library asks one node for the keys of these each time, and goes on asking it when it has died
        if command in {"XREAD", "XREADGROUP"}:
            return int(self.keyslot(args[args.index(b"STREAMS") + 1]))
        return int(await super()._determine_slot(command, *args))

    async def known(self) -> None:
        """Learn who serves what, where that is not known. Raises RedisError, OSError."""
        async with self._noticing():
            await self.initialize()

    @asynccontextmanager
    async def _noticing(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(NODE_DEADLINE):
                yield
        except TimeoutError as error:
            await self.leave_silent_nodes_out()
            raise NotConnected("a node does not answer") from error
        except RedisClusterException as error:
            raise NotConnected(str(error)) from error

    async def leave_silent_nodes_out(self) -> None:
        """Forget who serves what, and have it told by nodes that answer; by whom a silent one is replaced they know."""
        if self._asking:
            return
        self._asking = True
        try:
            await self.aclose()
            asked = list(self.nodes_manager.startup_nodes.values())
            answers = await asyncio.gather(*map(_answers, asked))
            silent = {node.name for node, answer in zip(asked, answers, strict=True) if not answer}
            known = self.nodes_manager.startup_nodes  # other tasks may have changed it meanwhile
            left = {name: node for name, node in known.items() if name not in silent}
            if left:
                self.nodes_manager.startup_nodes = left
                # nobody else closes them now, and whoever has asked one meanwhile goes on to the next
                await asyncio.gather(*(known[name].disconnect() for name in known.keys() - left.keys()))
        finally:
            self._asking = False

    def node_for(self, key: str) -> ClusterNode:
        """Return the master that serves a key, as far as is known. Raises redis.ConnectionError where none does."""
        try:
            return cast("ClusterNode", self.get_node_from_key(key))
        except RedisClusterException as error:
            raise NotConnected(str(error)) from error

    async def aclose(self) -> None:
        """Close all connections, also where the nodes in use were in doubt."""
        await super().aclose()
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")


def dial(node: ClusterNode) -> Connection:
    """Return a connection of its own to a node; it opens at its first command."""
    return node.connection_class(**{**node.connection_kwargs, "retry": Retry(NoBackoff(), 0)})


async def _answers(node: ClusterNode) -> bool:
    connection = dial(node)
    try:
        async with asyncio.timeout(PROBE_DEADLINE):
            await connection.send_command("PING", check_health=False)
            await connection.read_response()
    except (RedisError, OSError, TimeoutError):
        return False
    finally:
        await connection.disconnect(nowait=True)
    return True
