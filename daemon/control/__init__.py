"""Control messages: other programs tell the running daemon what to do, over the bus."""

from daemon.control.audit import AuditLog, Record
from daemon.control.command import Arguments, Command, Commands
from daemon.control.server import ControlServer

__all__ = ["Arguments", "AuditLog", "Command", "Commands", "ControlServer", "Record"]
