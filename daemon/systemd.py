"""Tells systemd how the daemon does: the sd_notify protocol over NOTIFY_SOCKET, a no-op anywhere else.

Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import os
import socket
import time
from collections.abc import Mapping

import structlog

log = structlog.get_logger(__name__)

_SEND_TIMEOUT = 0.5


class Notifier:
    """Sends state changes to the service manager that `env` names, if it names one."""

    def __init__(self, env: Mapping[str, str]) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_interval = _watchdog_interval(env)
        """Seconds between watchdog pings (half of what systemd tolerates), None where it wants none."""

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, is complete."""
        self._send("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """Give the line that `systemctl status` shows."""
        self._send(*_status(text))

    def stopping(self, status: str = "") -> None:
        """Say that the drain has begun."""
        self._send("STOPPING=1", *_status(status))

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def watchdog(self) -> None:
        """Say that the event loop makes progress."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(_SEND_TIMEOUT)
                out.connect(self._address)
                out.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning("systemd cannot be told", message=lines[0], reason=str(error))


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []


def _watchdog_interval(env: Mapping[str, str]) -> float | None:
    microseconds = env.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2 / 1e6 or None
