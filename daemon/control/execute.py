"""Carries out one request: finds the command, checks the arguments, runs it under its deadline, words the outcome."""

import asyncio

import structlog

from bus.clock import MILLISECOND, Clock
from bus.commands import Problem, Reply, ReplyStatus
from bus.errors import MarketdError, UsageError
from daemon.control.command import Accepted, Commands, Outcome
from daemon.control.request import Rejected, Request, Sender
from daemon.redact import redact

log = structlog.get_logger(__name__)


async def execute(commands: Commands, request: Request, clock: Clock) -> Reply:
    """Do what is asked and return the reply. Whatever goes wrong is part of the reply."""
    try:
        result = await _run(commands, request, clock)
    except Rejected as error:
        return refuse(request, "rejected", error.code, str(error))
    except UsageError as error:
        return refuse(request, "rejected", "bad_arguments", str(error))
    except TimeoutError:
        return refuse(request, "failed", "timeout", "not done within the command's deadline")
    except MarketdError as error:
        return refuse(request, "failed", "failed", str(error))
    except Exception as error:  # a bug in one command is not the end of the control server
        log.exception("command crashed", command=request.command, id=request.id)
        return refuse(request, "failed", "internal", f"{type(error).__name__}: {error}")
    status: ReplyStatus = "accepted" if isinstance(result, Accepted) else "done"
    told = result.result if isinstance(result, Accepted) else result
    return Reply(request.id, request.client, request.command, status, told)


async def _run(commands: Commands, request: Request, clock: Clock) -> Outcome:
    command = commands.find(request.command)
    if request.expires is not None and (late := clock.now() // MILLISECOND - request.expires) > 0:
        raise Rejected("expired", f"the command had expired before it was read, {late} ms ago by the clock here")
    arguments = command.parse(request.args)
    async with asyncio.timeout(command.deadline):
        return await command.run(arguments, request)


def refuse(
    to: Request | Sender, status: ReplyStatus, code: str, message: str, retry_after: float | None = None
) -> Reply:
    """Word a reply that says why something was not done."""
    return Reply(to.id, to.client, to.command, status, error=Problem(code, redact(message), retry_after))
