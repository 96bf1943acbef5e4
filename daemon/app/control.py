"""Starts the command server, and lists the commands that it knows."""

from functools import partial
from importlib.metadata import version
from typing import Any

from daemon.app.wired import Wired
from daemon.control.audit import AuditLog
from daemon.control.basic import log_level, ping, status
from daemon.control.breakers import commands as breaker_commands
from daemon.control.collectors import commands as collector_commands
from daemon.control.command import Command, Commands
from daemon.control.gaps import commands as gap_commands
from daemon.control.server import ControlServer


def commands(wired: Wired) -> list[Command[Any]]:
    """Return every command that this process understands."""
    return [
        ping(wired.clock),
        status(version("marketd"), wired.supervisor.status, wired.checks),
        log_level(),
        *collector_commands(wired.collectors, wired.supervisor),
        *breaker_commands(wired.collectors),
        *gap_commands(wired.pool, wired.bus.publish, wired.clock),
    ]


def start_control(wired: Wired) -> None:
    """Start the command server; it serves while it is this process's turn."""
    audit = AuditLog(wired.pool, wired.clock, wired.random)
    wired.supervisor.start("audit", audit.run)
    control = ControlServer(
        wired.bus.client, wired.bus.names, Commands(commands(wired)), audit.record, clock=wired.clock, rng=wired.random
    )
    (leadership,) = wired.leaderships
    wired.supervisor.start("control", partial(leadership.while_held, control.run))
