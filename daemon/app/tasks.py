"""Starts what runs background tasks."""

from collections.abc import Iterable
from functools import partial

from daemon.app.wired import Wired
from daemon.config import Exchange
from daemon.control.command import AnyCommand
from daemon.control.tasks import commands
from daemon.history.download import Downloader
from daemon.history.sources import Sources, configured_in
from daemon.storage.kinds import Storekeeping
from daemon.storage.retention import policy_of
from daemon.tasks.kinds import kinds
from daemon.tasks.ledger import TaskLedger
from daemon.tasks.runner import TaskRunner


def start_tasks(wired: Wired) -> Iterable[AnyCommand]:
    """Serve background tasks while it is this process's turn; return the commands about them."""

    def configured(name: str) -> Exchange:
        return configured_in(wired.config)(name)  # as it is now: the configuration changes while the daemon runs

    sources = Sources(wired.collectors, configured, wired.bus.state, wired.clock, wired.random)
    storekeeping = Storekeeping(
        wired.urls.dsn, wired.config.data_dir, lambda: policy_of(wired.config.retention), wired.clock
    )
    known = kinds(Downloader(wired.urls.dsn, sources, wired.clock), storekeeping)
    ledger = TaskLedger(wired.pool)
    runner = TaskRunner(known, ledger, wired.urls.dsn, wired.bus.publish, wired.clock, wired.random)
    (leadership,) = wired.leaderships
    wired.supervisor.start("tasks", partial(leadership.while_held, runner.run))
    return commands(known, ledger)
