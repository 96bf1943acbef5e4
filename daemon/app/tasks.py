"""Starts what runs background tasks."""

from collections.abc import Iterable
from functools import partial

from daemon.app.wired import Wired
from daemon.control.answers import Answers
from daemon.control.audit import AuditLog
from daemon.control.command import AnyCommand
from daemon.control.tasks import commands
from daemon.history.download import Downloader
from daemon.history.sources import Sources, configured
from daemon.storage.kinds import Storekeeping
from daemon.storage.retention import policy_of
from daemon.tasks.kinds import kinds
from daemon.tasks.ledger import TaskLedger, TaskRecord
from daemon.tasks.runner import TaskRunner
from daemon.tasks.telling import on_bus


def start_tasks(wired: Wired, audit: AuditLog) -> Iterable[AnyCommand]:
    """Serve background tasks while it is this process's turn; return the commands about them."""
    sources = Sources(
        wired.collectors, lambda name: configured(wired.config, name), wired.bus.state, wired.clock, wired.random
    )
    storekeeping = Storekeeping(
        wired.urls.dsn, wired.config.data_dir, lambda: policy_of(wired.config.retention), wired.clock
    )
    known = kinds(Downloader(wired.urls.dsn, sources, wired.clock), storekeeping)
    ledger = TaskLedger(wired.pool)
    told, answers = on_bus(wired.bus.publish, wired.clock), Answers(wired.bus.client, wired.bus.names, audit.record)

    async def tell(task: TaskRecord) -> None:
        await told(task)
        await answers.tell(task)

    runner = TaskRunner(known, ledger, wired.urls.dsn, tell, wired.clock, wired.random)
    (leadership,) = wired.leaderships
    wired.supervisor.start("tasks", partial(leadership.while_held, runner.run))
    return commands(known, ledger)
