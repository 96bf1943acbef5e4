"""The bar that shows how far a command or a background task is; on standard error, so that only the reply is output."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bus.commands import Reply


class Bar:
    """Appears with the first word about progress; where standard error is no terminal it stays away."""

    def __init__(self, what: str, console: Console | None = None) -> None:
        self._what = what
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def at(self, done: int, total: int | None) -> None:
        """Show how much is done of how much, None while that is unknown."""
        count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(self._what, total=None, count=count, rate="")
        speed = self._progress.tasks[self._task].speed
        self._progress.update(
            self._task, completed=done, total=total, count=count, rate=f"{speed:,.0f}/s" if speed else ""
        )

    def show(self, reply: Reply) -> bool:
        """Show a reply about progress, a result with `done` and `total`; False for any other reply."""
        told = reply.result
        if reply.status != "progress" or not isinstance(told, dict) or not {"done", "total"} <= told.keys():
            return False
        self.at(told["done"], told["total"])
        return True
