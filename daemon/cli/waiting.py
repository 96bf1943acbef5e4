"""The bar of an operation that this very process does: on standard error, and only where that is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.storage.database import Progress as Callback


@contextmanager
def bar(title: str) -> Iterator[Callback]:
    """Show a bar for the length of the block and give what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def move(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield move
