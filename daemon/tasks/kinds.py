"""The kinds of task there are, each in one line."""

from daemon.history.arguments import Download
from daemon.history.download import Downloader
from daemon.storage.kinds import Storekeeping
from daemon.tasks.kind import Kind, Kinds


def kinds(downloader: Downloader, storekeeping: Storekeeping) -> Kinds:
    """Return every kind of task."""
    return Kinds(
        [
            Kind("download", Download, downloader.run),
            Kind("backfill", Download, downloader.run),
            *storekeeping.kinds(),
        ]
    )
