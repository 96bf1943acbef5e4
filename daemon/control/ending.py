"""The commands drain and shutdown: bring everything under way to its end, and stay or leave."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from pydantic import JsonValue

from daemon.control.collectors import Collectors
from daemon.control.command import AnyCommand, Arguments, Command
from daemon.supervisor import Supervisor

DEADLINE: Final = 60.0
"""Seconds that handlers have for what the collectors have brought."""


class Nothing(Arguments):
    """No arguments."""


def drain(collectors: Collectors, supervisor: Supervisor, settle: Callable[[], Awaitable[None]]) -> Command[Nothing]:
    """Make `drain`: stops all collectors and answers once everything that they brought is digested.

    The process stays; `collector.start` collects again. `settle` waits until the bus and the handlers are done.
    """

    async def run(_: Nothing) -> JsonValue:
        names = sorted(collectors)
        await supervisor.stop(*(f"collect:{name}" for name in names))
        await settle()
        return {"stopped": [*names], "state": "drained"}

    return Command("drain", Nothing, run, DEADLINE)


class Shutdown(Command[Nothing]):
    """`shutdown`: ends the process as SIGTERM does, once the sender has its answer."""

    def __init__(self, end: Callable[[], None]) -> None:
        super().__init__("shutdown", Nothing, _told)
        self._end = end

    def answered(self) -> None:
        """End the process."""
        self._end()


async def _told(_: Nothing) -> JsonValue:
    return {"state": "ending"}


def commands(
    collectors: Collectors,
    supervisor: Supervisor,
    settle: Callable[[], Awaitable[None]],
    end: Callable[[], None],
) -> Iterable[AnyCommand]:
    """Return both commands."""
    return drain(collectors, supervisor, settle), Shutdown(end)
