"""The commands that every daemon answers: ping, status, log.level."""

from collections.abc import Callable, Mapping

from pydantic import Field, JsonValue

from bus.clock import Clock
from daemon import logs
from daemon.control.command import Arguments, Command
from daemon.supervisor import RoleStatus


class Nothing(Arguments):
    """No arguments."""


class LogLevel(Arguments):
    """Arguments of log.level; without a level it only tells the present one."""

    level: logs.Level | None = Field(default=None, description="least severity that is written from now on")


def ping(clock: Clock) -> Command[Nothing]:
    """Make `ping`: answers with the daemon's time (ns UTC)."""

    async def run(_: Nothing) -> JsonValue:
        return {"pong": clock.now()}

    return Command("ping", Nothing, run)


def status(
    version: str, roles: Callable[[], Mapping[str, RoleStatus]], checks: Mapping[str, Callable[[], tuple[bool, str]]]
) -> Command[Nothing]:
    """Make `status`: the version, what /ready checks, and how every role does."""

    async def run(_: Nothing) -> JsonValue:
        answers = {name: check() for name, check in checks.items()}
        return {
            "version": version,
            "ready": all(ok for ok, _ in answers.values()),
            "checks": {name: {"ok": ok, "detail": detail} for name, (ok, detail) in answers.items()},
            "roles": {name: dict(role._asdict()) for name, role in roles().items()},
        }

    return Command("status", Nothing, run)


def log_level() -> Command[LogLevel]:
    """Make `log.level`: changes how much is logged, without a restart."""

    async def run(arguments: LogLevel) -> JsonValue:
        if arguments.level is not None:
            logs.set_level(arguments.level)
        return {"level": logs.current_level()}

    return Command("log.level", LogLevel, run)
