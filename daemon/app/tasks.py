"""Starts what runs background tasks."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from daemon.app.wired import Wired
from daemon.control.command import Command
from daemon.control.tasks import commands
from daemon.history.download import Downloader
from daemon.history.sources import Sources, configured
from daemon.tasks.kinds import kinds
from daemon.tasks.ledger import TaskLedger
from daemon.tasks.runner import TaskRunner


def start_tasks(wired: Wired) -> Iterable[Command[Any]]:
    """Serve background tasks while it is this process's turn; return the commands about them."""
    sources = Sources(
        wired.collectors, lambda name: configured(wired.config, name), wired.bus.state, wired.clock, wired.random
    )
    known = kinds(Downloader(wired.urls.dsn, sources, wired.clock))
    ledger = TaskLedger(wired.pool)
    runner = TaskRunner(known, ledger, wired.urls.dsn, wired.bus.publish, wired.clock, wired.random)
    (leadership,) = wired.leaderships
    wired.supervisor.start("tasks", partial(leadership.while_held, runner.run))
    return commands(known, ledger)
