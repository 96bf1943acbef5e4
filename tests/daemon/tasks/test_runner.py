"""Tasks run once at a time, tell how far they are, end when asked to, and go on after their process was killed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import asyncpg
import pytest
from pydantic import JsonValue

from bus.clock import SystemClock
from bus.errors import ExchangeUnavailable, UsageError
from bus.events import Event, Task
from daemon.control.command import Arguments
from daemon.tasks import Claims, Kind, Kinds, Progress, TaskLedger, TaskRunner
from daemon.tasks.telling import on_bus
from migrations.runner import migrate


class Count(Arguments):
    to: int = 3


class Work:
    """A kind of task that the test leads step by step."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = asyncio.Event()
        self.fail: list[Exception] = []

    async def run(self, arguments: Count, progress: Progress) -> JsonValue:
        self.begun += 1
        if self.fail:
            raise self.fail.pop()
        progress.expect(arguments.to)
        progress.advance()
        await self.let_go.wait()
        progress.advance(arguments.to - 1)
        return {"counted": arguments.to}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    await migrate(database)
    async with asyncpg.create_pool(database, min_size=0, max_size=4) as made:
        yield made


@pytest.fixture
def ledger(pool: asyncpg.Pool) -> TaskLedger:
    return TaskLedger(pool)


@pytest.fixture
def work() -> Work:
    return Work()


Start = Callable[[], asyncio.Task]


@pytest.fixture
async def told() -> list[Event]:
    return []


@pytest.fixture
async def start(database: str, ledger: TaskLedger, work: Work, told: list[Event]) -> AsyncIterator[Start]:
    runs: list[asyncio.Task] = []

    async def publish(events: list[Event]) -> None:
        told.extend(events)

    def begin() -> asyncio.Task:
        kinds = Kinds([Kind("count", Count, work.run)])
        runs.append(
            asyncio.create_task(
                TaskRunner(kinds, ledger, database, on_bus(publish, SystemClock()), SystemClock(), Random(1)).run()
            )
        )
        return runs[-1]

    yield begin
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


async def submit(ledger: TaskLedger, kind: str, args: dict[str, JsonValue]) -> str:
    return (await ledger.submit(kind, args)).id


async def until(ledger: TaskLedger, identity: str, *states: str, deadline: float = 10.0) -> None:
    async with asyncio.timeout(deadline):
        while (await ledger.get(identity)).state not in states:
            await asyncio.sleep(0.02)


async def test_a_task_runs_tells_its_progress_and_leaves_its_result(ledger, start, work, told):
    start()
    identity = await submit(ledger, "count", {"to": 5})
    await until(ledger, identity, "running")
    async with asyncio.timeout(60):
        while (await ledger.get(identity)).done != 1:
            await asyncio.sleep(0.02)
    assert (await ledger.get(identity)).total == 5
    work.let_go.set()
    await until(ledger, identity, "done")
    record = await ledger.get(identity)
    assert (record.done, record.total, record.result, record.error) == (5, 5, {"counted": 5}, "")
    async with asyncio.timeout(60):
        while not (isinstance(told[-1], Task) and told[-1].state == "done"):
            await asyncio.sleep(0.02)
    assert {event.id for event in told} == {identity}
    assert (told[-1].done, told[-1].total) == (5, 5)


async def test_the_same_work_is_one_task_until_it_is_finished(ledger, start, work):
    first = await submit(ledger, "count", {"to": 5})
    assert await submit(ledger, "count", {"to": 5}) == first
    assert await submit(ledger, "count", {"to": 6}) != first
    work.let_go.set()
    start()
    await until(ledger, first, "done")
    assert await submit(ledger, "count", {"to": 5}) != first


async def test_it_ends_within_a_second_of_being_asked_to(ledger, start, work):
    start()
    identity = await submit(ledger, "count", {})
    await until(ledger, identity, "running")
    await ledger.cancel(identity)
    await until(ledger, identity, "cancelled", deadline=1.0)
    assert (await ledger.get(identity)).result is None


async def test_what_nobody_has_begun_is_cancelled_without_being_begun(ledger, start, work):
    identity = await submit(ledger, "count", {})
    await ledger.cancel(identity)
    start()
    await until(ledger, identity, "cancelled")
    assert work.begun == 0


async def test_two_runners_do_not_run_one_task_twice(ledger, start, work):
    start()
    start()
    identity = await submit(ledger, "count", {})
    await until(ledger, identity, "running")
    await asyncio.sleep(1.0)  # several looks of both
    assert work.begun == 1
    work.let_go.set()
    await until(ledger, identity, "done")


async def test_what_a_stopped_process_ran_goes_on_in_another(ledger, start, work):
    run = start()
    identity = await submit(ledger, "count", {})
    await until(ledger, identity, "running")
    async with asyncio.timeout(10):
        while not work.begun:  # it is said to run a moment before
            await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert (await ledger.get(identity)).state == "running"
    work.let_go.set()
    start()
    await until(ledger, identity, "done")
    assert work.begun == 2


async def test_who_loses_its_session_stops_so_that_another_can_take_over(ledger, start, work, pool):
    run = start()
    identity = await submit(ledger, "count", {})
    await until(ledger, identity, "running")
    await pool.fetch("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'marketd tasks'")
    async with asyncio.timeout(60):
        await asyncio.wait({run})
    assert "claims" in str(run.exception())
    work.let_go.set()
    start()
    await until(ledger, identity, "done")


async def test_trouble_that_passes_is_waited_out_and_other_trouble_fails_the_task(ledger, start, work, told):
    work.let_go.set()
    work.fail = [ExchangeUnavailable("away")]
    start()
    identity = await submit(ledger, "count", {})
    await until(ledger, identity, "done")
    assert work.begun == 2
    assert [event.state for event in told].count("running") >= 3  # of each attempt, and of the pause between them
    work.fail = [ZeroDivisionError("oh")]
    identity = await submit(ledger, "count", {})
    await until(ledger, identity, "failed")
    assert (await ledger.get(identity)).error == "ZeroDivisionError: oh"
    identity = await submit(ledger, "cuont", {})
    await until(ledger, identity, "failed")
    assert "did you mean count?" in (await ledger.get(identity)).error
    identity = await submit(ledger, "count", {"too": 5})
    await until(ledger, identity, "failed")
    assert "did you mean to?" in (await ledger.get(identity)).error


async def test_a_claim_is_one_sessions_alone(database):
    async with Claims(database) as mine, Claims(database) as other:
        assert await mine.take("a")
        assert not await other.take("a")
        assert await other.take("b")
        await mine.give("a")
        assert await other.take("a")


async def test_unknown_ids_are_answered_in_words(ledger):
    with pytest.raises(UsageError, match=r"no task 'x'"):
        await ledger.get("x")
