"""Commands about the configuration: config.get, .set, .history, .diff, .rollback and .reload."""

from collections.abc import Awaitable, Iterable
from itertools import pairwise
from typing import Any, Final

from pydantic import Field, JsonValue, model_validator

from bus.errors import ConfigError, UsageError
from daemon.config.running import RunningConfig
from daemon.config.settings import RestartNeeded, Settings, changeable, differences, everything, nested
from daemon.config.versions import Version, VersionConflict
from daemon.control.command import AnyCommand, Arguments, Command, SignedCommand
from daemon.control.request import Rejected, Request
from daemon.nearest import did_you_mean
from daemon.redact import redact

DEADLINE: Final = 60.0
"""Seconds for a change: exchanges that are given up have to end their connections first."""


class Get(Arguments):
    """Arguments of config.get."""

    path: str = Field(default="", description="a setting or a table, like log.level or exchanges.binance")


class Set(Arguments):
    """Arguments of config.set: a path with its value, or a patch."""

    path: str = Field(default="", description="a setting, like exchanges.binance.symbols")
    value: JsonValue = Field(default=None, description="its value; null takes a change back, or gives an exchange up")
    patch: dict[str, JsonValue] = Field(default={}, description='several at once, like {"log": {"level": "debug"}}')

    @model_validator(mode="after")
    def _one_of_both(self) -> "Set":
        if bool(self.path) == bool(self.patch):
            raise ValueError("needs either path and value, or patch")
        if self.path and "value" not in self.model_fields_set:
            raise ValueError("value is missing: write null to take a change back")
        return self

    def changes(self) -> dict[str, Any]:
        """Return what is to change, as tables in tables."""
        return nested({self.path: self.value}) if self.path else self.patch


class History(Arguments):
    """Arguments of config.history."""

    limit: int = Field(default=20, ge=1, le=200, description="how many of the newest versions")


class Diff(Arguments):
    """Arguments of config.diff."""

    version: int = Field(ge=0, description="the one version; 0 is what the file says")
    to: int | None = Field(default=None, ge=0, description="the other; what runs now when left out")


class Rollback(Arguments):
    """Arguments of config.rollback."""

    version: int = Field(ge=0, description="the version to bring back, as config.history lists them; 0 is the file")


def config_get(running: RunningConfig) -> Command[Get]:
    """Make `config.get`: what holds now, or a part of it; secrets are masked."""

    async def run(arguments: Get) -> JsonValue:
        settings = everything(running.current)
        found: Any = nested(settings)
        for part in arguments.path.split(".") if arguments.path else ():
            if not isinstance(found, dict) or part not in found:
                known = {path for name in settings for path in _with_tables(name)}
                guess = did_you_mean(arguments.path, known)
                raise Rejected("bad_arguments", f"there is no setting {arguments.path[:200]!r}{guess}")
            found = found[part]
        shown = {"path": arguments.path, "value": found} if arguments.path else {"config": found}
        return {"version": running.version, **_redacted(shown)}

    return Command("config.get", Get, run)


def config_set(running: RunningConfig) -> SignedCommand[Set]:
    """Make `config.set`: changes settings of what runs, all of them or none, and keeps them over a restart."""

    async def run(arguments: Set, request: Request) -> JsonValue:
        before = everything(running.current)
        what = arguments.path or ", ".join(arguments.patch)
        number = await worded(
            running.set(arguments.changes(), request.client, request.expect_version, f"config.set {what}"[:200])
        )
        return {"version": number, "changed": _changes(before, everything(running.current))}

    return SignedCommand("config.set", Set, run, DEADLINE)


def config_history(running: RunningConfig) -> Command[History]:
    """Make `config.history`: the newest versions, who made them, and what each changed."""

    async def run(arguments: History) -> JsonValue:
        versions = await running.versions.latest(arguments.limit + 1)
        below = {version.number: before for version, before in pairwise(versions)}
        return [_described(version, below.get(version.number)) for version in versions[: arguments.limit]]

    return Command("config.history", History, run)


def config_diff(running: RunningConfig) -> Command[Diff]:
    """Make `config.diff`: what differs between two versions, or between one and what runs."""

    async def run(arguments: Diff) -> JsonValue:
        one = await running.settings(arguments.version)
        other = changeable(running.current) if arguments.to is None else await running.settings(arguments.to)
        return _changes(one, other)

    return Command("config.diff", Diff, run)


def config_rollback(running: RunningConfig) -> SignedCommand[Rollback]:
    """Make `config.rollback`: brings back what held in a version, as a new version."""

    async def run(arguments: Rollback, request: Request) -> JsonValue:
        before = everything(running.current)
        number = await worded(running.rollback(arguments.version, request.client, request.expect_version))
        return {"version": number, "changed": _changes(before, everything(running.current))}

    return SignedCommand("config.rollback", Rollback, run, DEADLINE)


def config_reload(running: RunningConfig) -> SignedCommand[Arguments]:
    """Make `config.reload`: reads file and environment again, as SIGHUP does."""

    async def run(_: Arguments, request: Request) -> JsonValue:
        before = everything(running.current)
        number = await worded(running.reload(request.client))
        return {"version": number, "changed": _changes(before, everything(running.current))}

    return SignedCommand("config.reload", Arguments, run, DEADLINE)


async def worded(change: Awaitable[int]) -> int:
    """Wait for a change of the configuration. Raises Rejected with a code where it is not made."""
    try:
        return await change
    except VersionConflict as error:
        raise Rejected("version_conflict", str(error)) from error
    except RestartNeeded as error:
        raise Rejected("restart_needed", str(error)) from error
    except ConfigError as error:
        raise Rejected("invalid_config", "; ".join(str(error).splitlines())) from error
    except UsageError as error:
        raise Rejected("bad_arguments", str(error)) from error


def _described(version: Version, before: Version | None) -> JsonValue:
    return {
        "version": version.number,
        "ts": version.ts.isoformat(),
        "client": version.client,
        "comment": version.comment,
        "changed": _changes(before.settings if before else version.below, version.settings),
    }


def _changes(before: Settings, after: Settings) -> list[JsonValue]:
    return [_redacted(dict(change._asdict())) for change in differences(before, after)]


def _redacted(value: Any) -> Any:
    """Mask passwords in URLs, which endpoints may carry."""
    if isinstance(value, dict):
        return {key: _redacted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return redact(value) if isinstance(value, str) else value


def _with_tables(path: str) -> Iterable[str]:
    parts = path.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def commands(running: RunningConfig) -> Iterable[AnyCommand]:
    """Return all commands about the configuration."""
    return (
        config_get(running),
        config_set(running),
        config_history(running),
        config_diff(running),
        config_rollback(running),
        config_reload(running),
    )
