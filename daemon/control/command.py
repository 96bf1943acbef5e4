"""What a control command is: a name, a pydantic model of its arguments, and a function that does it.

A new command is one small file that builds a `Command`, and one line where the app lists them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from daemon.control.request import Rejected
from daemon.explain import explain
from daemon.nearest import did_you_mean

DEADLINE: Final = 10.0
"""Seconds that a command may take. What takes longer starts a task and answers with the task's id."""


class Arguments(BaseModel):
    """Base of every command's arguments: unknown names are errors. A command without arguments uses it as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Arguments)


class Command(Generic[A]):
    """One command. `run` returns what goes out as the reply's `result`; a MarketdError is its way to fail."""

    def __init__(
        self, name: str, arguments: type[A], run: Callable[[A], Awaitable[JsonValue]], deadline: float = DEADLINE
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.deadline = deadline
        self._run = run

    def parse(self, args: Mapping[str, Any]) -> A:
        """Validate arguments. Raises Rejected that names each wrong one."""
        try:
            return self.arguments.model_validate(args)
        except ValidationError as error:
            raise Rejected("bad_arguments", "; ".join(explain(error, self.arguments))) from None

    async def run(self, arguments: A) -> JsonValue:
        """Do it."""
        return await self._run(arguments)


PAPER: Final = "paper."


class Commands:
    """The commands of a daemon, by name; those of paper trading also without their `paper.` in front."""

    def __init__(self, commands: Sequence[Command[Any]]) -> None:
        self._commands = {command.name: command for command in commands}

    def _full(self, name: str) -> str:
        others = (PAPER + name, name.removeprefix(PAPER))
        return next((other for other in (name, *others) if other in self._commands), name)

    def __contains__(self, name: str) -> bool:
        return self._full(name) in self._commands

    def find(self, name: str) -> Command[Any]:
        """Return a command. Raises Rejected that names the nearest one."""
        try:
            return self._commands[self._full(name)]
        except KeyError:
            short = [known.removeprefix(PAPER) for known in self._commands]
            guess = (
                did_you_mean(name, short)
                or did_you_mean(name, self._commands)
                or f"; there are {', '.join(sorted(self._commands))}"
            )
            raise Rejected("unknown_command", f'there is no command "{name[:64]}"{guess}') from None
