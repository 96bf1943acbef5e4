"""What a control command is: a name, a pydantic model of its arguments, and a function that does it.

A new command is one small file that builds a `Command`, and one line where the app lists them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, ValidationError

from daemon.control.request import Rejected, Request
from daemon.explain import explain
from daemon.nearest import did_you_mean

DEADLINE: Final = 10.0
"""Seconds that a command may take. What takes longer starts a task and answers with the task's id."""


class Arguments(BaseModel):
    """Base of every command's arguments: unknown names are errors. A command without arguments uses it as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def as_text(value: object) -> object:
    """Return a whole number as text, and everything else as it is."""
    return str(value) if type(value) is int else value


Identifier: TypeAlias = Annotated[str, BeforeValidator(as_text)]
"""An id. One that consists of digits looks like a number to who builds the JSON, as the command line does."""


class Accepted(NamedTuple):
    """What a command returns whose work goes on in the background: further replies to its id follow."""

    result: JsonValue


Outcome: TypeAlias = JsonValue | Accepted
A = TypeVar("A", bound=Arguments)


class _Named(Generic[A]):
    """What every command has: its name, its arguments, and the seconds that it may take."""

    def __init__(self, name: str, arguments: type[A], deadline: float) -> None:
        self.name = name
        self.arguments = arguments
        self.deadline = deadline

    def answered(self) -> None:
        """Follow up once the sender has the reply that it is done; most commands have nothing left to do."""

    def parse(self, args: Mapping[str, Any]) -> A:
        """Validate arguments. Raises Rejected that names each wrong one."""
        try:
            return self.arguments.model_validate(args)
        except ValidationError as error:
            raise Rejected("bad_arguments", "; ".join(explain(error, self.arguments))) from None


class Command(_Named[A]):
    """One command. `run` returns what goes out as the reply's `result`; a MarketdError is its way to fail."""

    def __init__(
        self, name: str, arguments: type[A], run: Callable[[A], Awaitable[Outcome]], deadline: float = DEADLINE
    ) -> None:
        super().__init__(name, arguments, deadline)
        self._run = run

    async def run(self, arguments: A, request: Request) -> Outcome:  # noqa: ARG002 # it does not matter who asks
        """Do it."""
        return await self._run(arguments)


class SignedCommand(_Named[A]):
    """A command that is told who asks, and which version of the configuration the sender has seen."""

    def __init__(
        self, name: str, arguments: type[A], run: Callable[[A, Request], Awaitable[Outcome]],
        deadline: float = DEADLINE,
    ) -> None:  # fmt: skip
        super().__init__(name, arguments, deadline)
        self._run = run

    async def run(self, arguments: A, request: Request) -> Outcome:
        """Do it."""
        return await self._run(arguments, request)


AnyCommand: TypeAlias = Command[Any] | SignedCommand[Any]


PAPER: Final = "paper."


class Commands:
    """The commands of a daemon, by name; those of paper trading also without their `paper.` in front."""

    def __init__(self, commands: Sequence[AnyCommand]) -> None:
        self._commands = {command.name: command for command in commands}

    def _full(self, name: str) -> str:
        """Return a command's whole name where one is meant by this; otherwise the name as it is."""
        others = (PAPER + name, name.removeprefix(PAPER))
        return next((other for other in (name, *others) if other in self._commands), name)

    def __contains__(self, name: str) -> bool:
        return self._full(name) in self._commands

    def find(self, name: str) -> AnyCommand:
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
