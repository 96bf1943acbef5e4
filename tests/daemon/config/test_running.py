"""The running configuration: changes are checked, written, applied; several processes share the versions."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from bus.clock import ManualClock
from bus.errors import ConfigError, StoreUnavailable, UsageError
from daemon.config import Config
from daemon.config.running import LOOK, RunningConfig
from daemon.config.settings import RestartNeeded, build, changeable, patch
from daemon.config.versions import Version, VersionConflict, Versions
from migrations.runner import migrate

WITH_OKX = {"exchanges": {"okx": {"symbols": ["BTC/USDT"]}}}


class Table:
    """The versions, in memory, as several processes would share them."""

    def __init__(self):
        self.rows: list[Version] = []

    async def number(self):
        return len(self.rows)

    async def newest(self):
        return self.rows[-1] if self.rows else None

    async def get(self, number):
        return self.rows[number - 1]

    async def append(self, expected, client, comment, below, settings):
        await asyncio.sleep(0)
        if len(self.rows) != expected:
            raise VersionConflict(expected, len(self.rows))
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        self.rows.append(Version(expected + 1, moment, client, comment, below, settings))
        return len(self.rows)


class Process:
    """One process with its own file and its own running parts."""

    def __init__(self, table, file=None, *, writes=True):
        self.file = file or Config()
        self.applied = []
        self.rebased = []
        self.broken = False
        self.clock = ManualClock()
        self.delisted = {"NO/SUCH"}
        self.running = RunningConfig(self.file, table, self, lambda: self.file, self.clock, writes=writes)

    def check(self, config):
        if any(exchange.name == "nowhere" for exchange in config.exchanges):
            raise ConfigError("there is no exchange nowhere")

    def doubt(self, config):
        if self.delisted.intersection(config.exchanges[0].symbols):
            raise ConfigError("there is no symbol NO/SUCH")

    async def apply(self, config):
        if self.broken:
            raise TimeoutError
        self.applied.append(config)

    async def rebase(self, base):
        self.rebased.append(base)

    async def followed(self):
        """Let it look once for what others have changed."""
        follower = asyncio.create_task(self.running.follow())
        await asyncio.sleep(0)
        self.clock.advance(LOOK)
        for _ in range(10):
            await asyncio.sleep(0)
        follower.cancel()

    @property
    def level(self):
        return self.running.current.log.level


def level(value):
    return {"log": {"level": value}}


def changed(config, changes):
    return build(config, patch(changeable(config), changeable(config), changes))


async def test_a_change_is_written_with_its_author_and_applied():
    table = Table()
    one = Process(table)
    assert await one.running.set(level("debug"), "ann", 0) == 1
    assert (one.level, one.applied) == ("debug", [one.running.current])
    assert (table.rows[0].client, table.rows[0].settings["log.level"]) == ("ann", "debug")
    assert await one.running.set(level("debug"), "ann") == 1, "what changes nothing is no version"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (level("debgu"), ConfigError),
        ({"exchanges": {"nowhere": {}}}, ConfigError),
        ({"exchanges": {"binance": {"symbols": ["NO/SUCH"]}}}, ConfigError),
        ({"bus": {"prefix": "x"}}, RestartNeeded),
        ({**level("error"), "exchanges": {"binance": {"symbols": ["x"]}}}, ConfigError),
    ],
)
async def test_what_is_wrong_changes_nothing_at_all(changes, kind):
    table = Table()
    one = Process(table)
    with pytest.raises(kind):
        await one.running.set(changes, "ann")
    assert (one.running.current, one.applied, table.rows) == (Config(), [], [])


async def test_of_writers_in_several_processes_who_saw_one_version_one_wins():
    table = Table()
    processes = [Process(table) for _ in range(4)]
    wanted = [process.running.set(level("debug"), str(n), 0) for n, process in enumerate(processes)]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    assert outcomes.count(1) == 1
    assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 3
    assert len(table.rows) == 1


async def test_writers_who_expect_nothing_in_particular_all_get_through():
    table = Table()
    one, two = Process(table), Process(table)
    await asyncio.gather(one.running.set(level("debug"), "ann"), two.running.set(WITH_OKX, "bob"))
    newest = table.rows[-1].settings
    assert (len(table.rows), newest["log.level"], newest["exchanges.okx.symbols"]) == (2, "debug", ["BTC/USDT"])


async def test_other_processes_follow_over_files_of_their_own():
    table = Table()
    writer = Process(table)
    follower = Process(table, changed(Config(), {"shutdown": {"deadline": 3.0}}), writes=False)
    await follower.running.start()
    await writer.running.set(level("debug"), "ann")
    await follower.followed()
    assert (follower.level, follower.running.current.shutdown.deadline, follower.running.version) == ("debug", 3.0, 1)
    assert follower.applied == [follower.running.current]
    assert len(table.rows) == 1, "who follows writes nothing"


async def test_other_processes_read_a_changed_file_when_one_of_them_has():
    table = Table()
    one, other = Process(table), Process(table)
    await one.running.set(level("debug"), "ann")
    one.file = other.file = changed(Config(), WITH_OKX)
    await one.running.reload("SIGHUP")
    await other.followed()
    assert other.running.current == one.running.current
    assert [exchange.name for exchange in other.running.current.exchanges] == ["binance", "okx"]
    other.file = changed(Config(), {"exchanges": {"nowhere": {}}})
    one.file = changed(one.file, {"shutdown": {"deadline": 3.0}})
    await one.running.reload("SIGHUP")
    await other.followed()
    assert other.running.version == one.running.version == 3
    assert (other.level, len(other.running.current.exchanges)) == ("debug", 2), (
        "a wrong file of its own changes nothing"
    )
    assert await other.running.set({"shutdown": {"deadline": 4.0}}, "bob") == 4


async def test_what_could_not_be_applied_is_applied_later():
    table = Table()
    one = Process(table)
    one.broken = True
    with pytest.raises(TimeoutError):
        await one.running.set(level("debug"), "ann")
    assert one.level == "debug"
    one.broken = False
    await one.followed()
    assert one.applied == [one.running.current]
    await one.followed()
    assert len(one.applied) == 1


async def test_a_later_life_takes_the_changes_up_where_the_file_still_fits():
    table = Table()
    one = Process(table)
    await one.running.set({**level("debug"), **WITH_OKX}, "ann")
    again = Process(table)
    assert (await again.running.start()).log.level == "debug"
    assert (again.running.version, len(table.rows)) == (1, 1)
    other = Process(table, changed(Config(), level("error")))
    started = await other.running.start()
    assert (started.log.level, [exchange.name for exchange in started.exchanges]) == ("error", ["binance", "okx"])
    assert (other.running.version, table.rows[-1].comment) == (2, "started on a changed file")


async def test_a_version_that_cannot_work_any_more_leaves_the_file():
    table = Table()
    settings = changeable(changed(Config(), {"exchanges": {"nowhere": {}}}))
    await table.append(0, "ann", "", changeable(Config()), settings)
    assert await Process(table).running.start() == Config()


async def test_symbols_that_are_gone_since_keep_nobody_from_starting_following_and_rolling_back():
    table = Table()
    one = Process(table)
    one.delisted.clear()
    await one.running.set({"exchanges": {"binance": {"symbols": ["NO/SUCH"]}}}, "ann")
    await one.running.set(level("debug"), "ann")
    later = Process(table)
    assert (await later.running.start()).exchanges[0].symbols == ("NO/SUCH",)
    assert await later.running.rollback(1, "ann") == 3


async def test_rolling_back_is_a_version_of_its_own():
    table = Table()
    one = Process(table)
    await one.running.set(level("debug"), "ann")
    await one.running.set(WITH_OKX, "ann")
    assert await one.running.rollback(1, "bob") == 3
    assert [exchange.name for exchange in one.running.current.exchanges] == ["binance"]
    assert one.level == "debug"
    assert await one.running.rollback(0, "bob") == 4
    assert one.running.current == Config(), "0 is what the file says"
    with pytest.raises(VersionConflict, match="version 4, not 2"):
        await one.running.rollback(2, "bob", 2)


async def test_reading_the_file_again_takes_over_what_changed_in_it():
    one = Process(Table())
    await one.running.set(level("debug"), "ann")
    one.file = changed(Config(), {"shutdown": {"deadline": 3.0}})
    assert await one.running.reload("SIGHUP") == 2
    assert (one.level, one.running.current.shutdown.deadline) == ("debug", 3.0)
    assert one.rebased == [one.file]
    assert await one.running.reload("SIGHUP") == 2, "the same file again is no version"
    before = one.running.current
    for wrong in (
        one.file.model_copy(update={"data_dir": "/elsewhere"}),
        changed(Config(), {"exchanges": {"nowhere": {}}}),
    ):
        one.file = wrong
        with pytest.raises(ConfigError):
            await one.running.reload("SIGHUP")
        assert one.running.current == before
    assert len(one.applied) == 2


async def test_the_table_lets_one_of_many_writers_through(database: str):
    await migrate(database)
    async with asyncpg.create_pool(database, min_size=4, max_size=4) as pool:
        versions = Versions(pool)
        assert (await versions.number(), await versions.newest()) == (0, None)
        outcomes = await asyncio.gather(
            *(versions.append(0, str(n), "", {"log.level": "info"}, {"log.level": str(n)}) for n in range(12)),
            return_exceptions=True,
        )
        (number,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 11
        newest = await versions.newest()
        assert newest is not None
        assert (newest.number, newest.settings["log.level"]) == (number, newest.client)
        assert await versions.append(number, "ann", "again", {}, {}) == await versions.number()
        assert [one.comment for one in await versions.latest(5)] == ["again", ""]
        with pytest.raises(UsageError, match="there is no version 99; the newest is"):
            await versions.get(99)
    with pytest.raises(StoreUnavailable):
        await versions.number()
