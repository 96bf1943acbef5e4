"""One connection for the hot path: several commands in one write, raw answers back.

redis-py's connection does the protocol and the handshake; its Pipeline, which costs more than the round trip to a
local server, is left out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.exceptions import ResponseError

from bus.redis.connection import ANSWER_DEADLINE, Client

Argument: TypeAlias = str | bytes | int
Command: TypeAlias = Sequence[Argument]


class Wire:
    """Sends commands of one client over a connection of its own, which is opened again after it broke."""

    def __init__(self, client: Client) -> None:
        self._connection = client.connection_pool.make_connection()

    async def call(self, commands: Sequence[Command], wait: float = 0.0) -> list[Any]:
        """Send all commands at once and return their answers; a refusal is returned as the ResponseError it is.

        `wait`: seconds that a blocking command means to wait. Raises redis.ConnectionError, OSError, TimeoutError;
        the connection is closed then, so that no late answer is taken for another command's.
        """
        connection = self._connection
        answers: list[Any] = []
        try:
            async with asyncio.timeout(ANSWER_DEADLINE + wait):
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
