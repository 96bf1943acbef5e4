"""Connections for the hot path: several commands in one write, raw answers back.

redis-py's connection does the protocol and the handshake; its Pipeline, which costs more than the round trip to a
local server, is left out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from bus.redis.cluster import NODE_DEADLINE, ClusterClient, dial
from bus.redis.connection import ANSWER_DEADLINE, Client

Argument: TypeAlias = str | bytes | int
Command: TypeAlias = Sequence[Argument]

_KEY_AT: Final = {"EVALSHA": 3}
"""Where a command has its key, if not right behind its name."""


class Wire:
    """Sends commands over a connection of its own, which is opened again after it broke."""

    def __init__(self, connection: AbstractConnection, deadline: float = ANSWER_DEADLINE) -> None:
        self._connection = connection
        self._deadline = deadline

    async def call(self, commands: Sequence[Command], wait: float = 0.0) -> list[Any]:
        """Send all commands at once and return their answers; a refusal is returned as the ResponseError it is.

        `wait`: seconds that a blocking command means to wait. Raises redis.ConnectionError, OSError, TimeoutError;
        the connection is closed then, so that no late answer is taken for another command's.
        """
        connection = self._connection
        answers: list[Any] = []
        try:
            async with asyncio.timeout(self._deadline + wait):
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                for _ in commands:
                    try:
                        answers.append(await connection.read_response())
                    except ResponseError as refusal:
                        answers.append(refusal)
        except BaseException:
            await self.close()
            raise
        return answers

    async def close(self) -> None:
        """Close the connection; the next call opens it again."""
        await self._connection.disconnect(nowait=True)


class ClusterWire:
    """A wire to each node of a cluster that serves a key of the commands.

    It goes by what the client knows about the cluster, and tells it of silence. After any other failure somebody asks
    through the client what has become of the key, as all that write and read streams do; it learns of new masters that
    way.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._wires: dict[str, Wire] = {}

    async def call(self, commands: Sequence[Command], wait: float = 0.0) -> list[Any]:
        """See `Wire.call`; commands to one node keep their order. When one node fails so does the whole call."""
        await self._client.known()
        shares: dict[str, list[int]] = {}
        for index, command in enumerate(commands):
            shares.setdefault(self._node_for(command), []).append(index)
        outcomes = await asyncio.gather(
            *(self._wires[node].call([commands[index] for index in share], wait) for node, share in shares.items()),
            return_exceptions=True,
        )
        if any(isinstance(outcome, TimeoutError) for outcome in outcomes):
            await self._client.leave_silent_nodes_out()
        answers: dict[int, Any] = {}
        for share, outcome in zip(shares.values(), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            answers.update(zip(share, outcome, strict=True))
        return [answers[index] for index in range(len(commands))]

    def _node_for(self, command: Command) -> str:
        at = command.index("STREAMS") + 1 if command[0] == "XREADGROUP" else _KEY_AT.get(str(command[0]), 1)
        node = self._client.node_for(str(command[at]))
        if node.name not in self._wires:
            self._wires[node.name] = Wire(dial(node), NODE_DEADLINE)
        return str(node.name)

    async def close(self) -> None:
        """Close the connections; the next call opens them again."""
        for wire in self._wires.values():
            await wire.close()


def open_wire(client: Client) -> Wire | ClusterWire:
    """Return a wire to where a client is connected to, over connections of its own."""
    if isinstance(client, ClusterClient):
        return ClusterWire(client)
    return Wire(client.connection_pool.make_connection())
