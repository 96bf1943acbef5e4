"""Commands about circuit breakers: breakers.list, breaker.open, breaker.close, breaker.reset."""

from collections.abc import Callable, Iterable
from typing import Literal

from pydantic import Field, JsonValue

from daemon.control.collectors import Collectors, Nothing, OfExchange, find
from daemon.control.command import Command
from daemon.resilience.breaker import CircuitBreaker


class Breakers(OfExchange):
    """Arguments that name an exchange's breakers."""

    kind: Literal["ws", "rest", "both"] = Field(default="both", description="ws, rest or both")


def breakers_list(collectors: Collectors) -> Command[Nothing]:
    """Make `breakers.list`: the state of every breaker."""

    async def run(_: Nothing) -> JsonValue:
        return [
            {"exchange": name, "kind": kind, "state": breaker.state}
            for name, collector in collectors.items()
            for kind, breaker in collector.breakers.items()
        ]

    return Command("breakers.list", Nothing, run)


def _change(name: str, collectors: Collectors, change: Callable[[CircuitBreaker], None]) -> Command[Breakers]:
    async def run(arguments: Breakers) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        chosen = {kind: b for kind, b in collector.breakers.items() if arguments.kind in (kind, "both")}
        for breaker in chosen.values():
            change(breaker)
        await collector.publish(())
        return {"exchange": collector.name, **{kind: breaker.state for kind, breaker in chosen.items()}}

    return Command(name, Breakers, run)


def commands(collectors: Collectors) -> Iterable[Command[Nothing] | Command[Breakers]]:
    """Return all commands about breakers."""
    by = "by command"
    return (
        breakers_list(collectors),
        _change("breaker.open", collectors, lambda breaker: breaker.force_open(by)),
        _change("breaker.close", collectors, lambda breaker: breaker.force_closed(by)),
        _change("breaker.reset", collectors, lambda breaker: breaker.reset(by)),
    )
