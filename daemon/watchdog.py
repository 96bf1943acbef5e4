"""Watches the event loop: measures how late it is, tells systemd while it runs, says where it hangs when it does."""

import asyncio
import sys
import threading
import time
import traceback
from typing import Final

import structlog

from bus.metrics import LOOP_LAG
from daemon.systemd import Notifier

log = structlog.get_logger(__name__)

BLOCKED: Final = 10.0
"""Seconds without progress after which the loop counts as blocked."""
TICK: Final = 0.5


class Watchdog:
    """A task in the loop that beats, and a thread beside it that notices when the beat stops.

    The pings to systemd come from the task, so they stop when the loop does.
    """

    def __init__(self, notifier: Notifier, blocked: float = BLOCKED) -> None:
        self._notifier = notifier
        self._blocked = blocked
        self._beat = time.monotonic()
        self._over = threading.Event()

    async def run(self) -> None:
        """Beat until cancelled."""
        ping_every = self._notifier.watchdog_interval
        tick = min(TICK, self._blocked / 4, ping_every or TICK)
        self._beat = time.monotonic()
        self._over.clear()
        thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True)
        thread.start()
        pinged = float("-inf")
        try:
            while True:
                if ping_every is not None and self._beat - pinged >= ping_every - tick:
                    self._notifier.watchdog()
                    pinged = self._beat
                due = self._beat + tick
                await asyncio.sleep(tick)
                self._beat = time.monotonic()
                LOOP_LAG.set(max(0.0, self._beat - due))
        finally:
            self._over.set()

    def _watch(self, loop_thread: int) -> None:
        """Look at the beat from outside the loop; dump every thread's stack once for each time that it stops."""
        pause = self._blocked / 4
        reported = 0.0
        looked = time.monotonic()
        while not self._over.wait(pause):
            previous, looked = looked, time.monotonic()
            beat = self._beat
            if reported and beat != reported:
                log.warning("the event loop runs again", blocked_for=round(beat - reported, 3))
                reported = 0.0
            # If this thread overslept too, the whole process stood still (SIGSTOP, a frozen container): no verdict.
            if not reported and looked - beat > self._blocked and looked - previous < self._blocked:
                reported = beat
                log.error("the event loop is blocked", since=round(looked - beat, 3), stacks=_stacks(loop_thread))


def _stacks(loop_thread: int) -> str:
    """Format the stack of every thread, the loop's first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sorted(sys._current_frames().items(), key=lambda item: item[0] != loop_thread)  # noqa: SLF001 # documented
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}" for ident, frame in frames
    )
