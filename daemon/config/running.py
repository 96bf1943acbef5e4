"""The configuration that runs: defaults < file < environment < the changes made while marketd runs, each a version."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from bus.clock import Clock
from bus.errors import BusUnavailable, ConfigError, StoreUnavailable
from daemon.config.model import Config
from daemon.config.settings import (
    RestartNeeded,
    Settings,
    build,
    changeable,
    differences,
    fixed_changes,
    merge,
    patch,
)
from daemon.config.versions import Version, VersionConflict, Versions

log = structlog.get_logger(__name__)

LOOK: Final = 2.0
"""Seconds between two looks for what another process has changed."""
TRIES: Final = 5
"""Times that a change is made anew on top of what another process wrote in between."""


class Parts(Protocol):
    """What runs, as its configuration sees it."""

    def check(self, config: Config) -> None:
        """Raise ConfigError for what is well-formed and can never work."""

    def doubt(self, config: Config) -> None:
        """Raise ConfigError for what is wanted anew and cannot be had at present."""

    async def apply(self, config: Config) -> None:
        """Bring everything to a configuration; what is as it should be is not touched."""

    async def rebase(self, base: Config) -> None:
        """Hear that file and environment say something else now."""


class RunningConfig:
    """The one owner of the running configuration. A change is checked, then written, then applied, one at a time.

    `base`: what file and environment say; `load` reads them again. `writes`: whether this process makes versions, or
    only follows those that others make.
    """

    def __init__(
        self, base: Config, versions: Versions, parts: Parts, load: Callable[[], Config], clock: Clock, *, writes: bool
    ) -> None:
        self._base = base
        self.versions = versions
        """All versions that there have been."""
        self._load = load
        self._parts = parts
        self._writes = writes
        self._clock = clock
        self._lock = asyncio.Lock()
        self.current = base
        """What holds now."""
        self._applied = base
        self.version = 0
        """The newest version that was taken into account; 0 before the first change."""

    async def start(self) -> Config:
        """Take up the changes of earlier lives and return what holds; nothing is applied.

        Raises ConfigError where file and environment cannot work, StoreUnavailable.
        """
        self._parts.check(self._base)
        newest = await self.versions.newest()
        if newest is not None:
            self.current = self._on_base(newest)
            self.version = newest.number
            try:
                await self._record(self._base, self.current, "marketd", "started on a changed file")
            except VersionConflict:
                log.info("another process has just written a version")  # which this one will follow
        self._applied = self.current
        return self.current

    async def follow(self) -> None:
        """Apply what other processes change, and what a cut-short command left undone, until cancelled."""
        while True:
            await self._clock.sleep(LOOK)
            try:
                if self._applied != self.current or await self.versions.number() > self.version:
                    async with self._lock:
                        await self._catch_up()
                        await self._bring(self.current)
            except (StoreUnavailable, BusUnavailable) as error:
                log.debug("cannot look for a changed configuration", reason=str(error))

    async def set(
        self, changes: Mapping[str, Any], client: str, expected: int | None = None, comment: str = "config.set"
    ) -> int:
        """Change settings, given as tables in tables, and return the version; all of them or none.

        Raises ConfigError, RestartNeeded, VersionConflict, StoreUnavailable.
        """

        def wanted() -> Config:
            config = build(self._base, patch(changeable(self.current), changeable(self._base), changes))
            self._parts.doubt(config)
            return config

        async with self._lock:
            return await self._make(wanted, client, expected, comment)

    async def rollback(self, number: int, client: str, expected: int | None = None) -> int:
        """Bring back what held in a version, as a new version, and return that one. Raises UsageError and as `set`."""
        settings = await self.settings(number)
        async with self._lock:
            return await self._make(
                lambda: build(self._base, settings), client, expected, f"rolled back to version {number}"
            )

    async def settings(self, number: int) -> Settings:
        """Return what held in a version; 0 is what file and environment say. Raises UsageError, StoreUnavailable."""
        return (await self.versions.get(number)).settings if number else changeable(self._base)

    async def reload(self, client: str) -> int:
        """Read file and environment again and apply what has changed there. Raises as `set`."""
        async with self._lock:
            base = await self._read()

            def wanted() -> Config:
                config = build(base, merge(changeable(self._base), changeable(self.current), changeable(base)))
                self._parts.doubt(config)
                return config

            return await self._make(wanted, client, None, "file reloaded", base)

    async def _read(self) -> Config:
        """Read file and environment again. Raises ConfigError for what cannot be taken over, BusUnavailable."""
        base = self._load()
        self._parts.check(base)
        if paths := fixed_changes(self._base, base):
            raise RestartNeeded(paths)
        if changeable(base) != changeable(self._base):
            await self._parts.rebase(base)
        return base

    async def _make(
        self, wanted: Callable[[], Config], client: str, expected: int | None, comment: str, base: Config | None = None
    ) -> int:
        """Make a version of what is wanted, over the present base or another one."""
        for _ in range(TRIES):
            await self._catch_up()
            if expected is not None and expected != self.version:
                raise VersionConflict(expected, self.version)
            config = wanted()
            self._parts.check(config)
            try:
                await self._record(base or self._base, config, client, comment)
            except VersionConflict:
                continue  # another process was faster: once more, on top of what it wrote
            self._base = base or self._base
            await self._bring(config)
            return self.version
        raise StoreUnavailable("other processes keep changing the configuration; try again")

    async def _record(self, base: Config, config: Config, client: str, comment: str) -> None:
        """Write a version, unless the newest says the same."""
        below, settings = changeable(base), changeable(config)
        newest = await self.versions.newest()
        known = (newest.below, newest.settings) if newest else (changeable(self._base), changeable(self._base))
        if not self._writes or known == (below, settings):
            return
        self.version = await self.versions.append(self.version, client, comment, below, settings)
        paths = [change.path for change in differences(changeable(self.current), settings)]
        log.info("configuration changed", version=self.version, client=client, settings=paths)

    async def _catch_up(self) -> None:
        """Take over what another process has written."""
        newest = await self.versions.newest()
        if newest is not None and newest.number > self.version:
            log.info("following a changed configuration", version=newest.number, client=newest.client)
            if newest.below != changeable(self._base):  # that process has read a changed file, often ours too
                try:
                    self._base = await self._read()
                except ConfigError as error:
                    log.warning("the file is not read again", reason=str(error))
            self.version = newest.number
            await self._bring(self._on_base(newest))

    async def _bring(self, config: Config) -> None:
        self.current = config
        if self._applied != config:
            await self._parts.apply(config)
            self._applied = config

    def _on_base(self, version: Version) -> Config:
        """Return a version's changes over this process's own file; the file alone where that cannot work any more."""
        below = changeable(self._base)
        merged = merge(version.below, version.settings, below)
        overruled = [c.path for c in differences(version.settings, merged) if c.before != version.below.get(c.path)]
        if overruled:
            log.warning("the file has changed these settings since: it holds", settings=overruled)
        try:
            config = build(self._base, merged)
            self._parts.check(config)
        except ConfigError as error:
            log.error("runtime changes cannot work any more, the file alone holds", reason=str(error))  # noqa: TRY400 # a sentence, no stack
            return self._base
        return config
