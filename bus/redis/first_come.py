"""Waits for several streams of a cluster at once: no single command can, since each lies in a slot of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class FirstCome(Generic[T]):
    """A task for each stream; whichever have something are given, the others go on waiting until the next call."""

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._tasks: dict[str, asyncio.Future[T]] = {}

    async def next(self, streams: Iterable[str], wait: float) -> "list[tuple[str, asyncio.Future[T]]]":
        """Read the streams and return those whose reading has ended, none after `wait` seconds."""
        for stream in streams:
            if stream not in self._tasks:
                self._tasks[stream] = asyncio.ensure_future(self._read(stream))
        await asyncio.wait(self._tasks.values(), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        ended = [stream for stream, task in self._tasks.items() if task.done()]
        return [(stream, self._tasks.pop(stream)) for stream in ended]

    async def stop(self) -> None:
        """End all reading; what was about to be given is forgotten."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
