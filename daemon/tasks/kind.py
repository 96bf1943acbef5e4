"""What a kind of task is: a name, a pydantic model of its arguments, and a function that does it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from pydantic import JsonValue, ValidationError

from bus.errors import UsageError
from daemon.control.command import Arguments
from daemon.explain import explain
from daemon.nearest import did_you_mean
from daemon.tasks.progress import Progress

A = TypeVar("A", bound=Arguments)


class Kind(Generic[A]):
    """One kind. `run` returns the task's result; a MarketdError is its way to fail.

    A Retryable error makes it run again after a while, like a crash of the process does: it has to find out by itself
    what is done already. It is ended by cancellation and must let go at once.
    """

    def __init__(self, name: str, arguments: type[A], run: Callable[[A, Progress], Awaitable[JsonValue]]) -> None:
        self.name = name
        self.arguments = arguments
        self._run = run

    def parse(self, args: Mapping[str, Any]) -> A:
        """Validate arguments. Raises UsageError that names each wrong one."""
        try:
            return self.arguments.model_validate(args)
        except ValidationError as error:
            raise UsageError("; ".join(explain(error, self.arguments))) from None

    async def run(self, args: Mapping[str, Any], progress: Progress) -> JsonValue:
        """Do it. Raises UsageError, and whatever the kind raises."""
        return await self._run(self.parse(args), progress)


class Kinds:
    """The kinds of task that a process knows, by name."""

    def __init__(self, kinds: Iterable[Kind[Any]]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def find(self, name: str) -> Kind[Any]:
        """Return a kind. Raises UsageError that names the nearest one."""
        try:
            return self._kinds[name]
        except KeyError:
            guess = did_you_mean(name, self._kinds) or f"; there are {', '.join(sorted(self._kinds))}"
            raise UsageError(f'there is no kind of task "{name[:64]}"{guess}') from None
