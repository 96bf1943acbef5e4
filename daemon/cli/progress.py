"""The progress bar of `marketd ctl`, on standard error, so that standard output stays the reply alone."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bus.commands import Reply


class Bar:
    """A bar that is there once a command has told of progress: a result with `done` and `total`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, reply: Reply) -> bool:
        """Show a reply in the bar; False for one that tells of no progress."""
        told = reply.result
        if reply.status != "progress" or not isinstance(told, dict) or not {"done", "total"} <= told.keys():
            return False
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(self._what)
        self._progress.update(self._task, completed=told["done"], total=told["total"] or 0)
        return True
