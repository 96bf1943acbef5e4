"""A server process of ours: started, recorded, watched, stopped, and found again after the daemon was killed."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_WRAPPER = Path(__file__).with_name("exec_child.py")
_LOG_BYTES = 8 * 1024 * 1024
_LOG_LINES = 6
_POLL = 0.01


class Account(NamedTuple):
    """Whom a server runs as when the daemon is root."""

    uid: int
    gid: int


class StopStep(NamedTuple):
    """A signal, and how many seconds it has to take effect before the next step."""

    signal: signal.Signals
    seconds: float


class Child:
    """One server process at a time. Its log and its record are the daemon's own files, not the server's."""

    def __init__(self, name: str, directory: Path, stop_steps: Sequence[StopStep]) -> None:
        self.log = directory / f"{name}.log"
        self._record = directory / f"{name}.pid"
        self._stop_steps = stop_steps
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How the last process ended: its exit code, or minus the signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def spawn(self, command: Sequence[str | Path], cwd: Path, account: Account | None = None) -> None:
        """Start the process. Call from a thread that lives as long as the daemon: the child dies with the thread.

        It gets a session of its own, so that Ctrl-C reaches the daemon alone.
        """
        self.bound_log()
        user = f"{account.uid}:{account.gid}" if account else ""
        death_signal = str(int(self._stop_steps[0].signal))
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as out:
            self._log_start = out.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(  # noqa: S603 # our own command
                [sys.executable, "-I", "-S", _WRAPPER, str(os.getpid()), death_signal, user, *command],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        identity = _identity(self._process.pid)
        if identity is not None:
            self._record.write_text(identity)

    async def ended(self) -> int:
        """Wait until the process has ended; return its exit code, or minus the signal."""
        await _until(lambda: not self.alive)
        code = self.returncode
        assert code is not None
        return code

    async def stop(self) -> None:
        """End the process in order, harder with each step; a leftover's record stays for who can end that."""
        process = self._process
        if process is not None:
            await self._end(lambda: self.alive, process.send_signal)
            self._record.unlink(missing_ok=True)

    async def end_leftover(self) -> None:
        """End the process that a killed daemon left behind, found by its record: same pid, start time and boot."""
        try:
            recorded = self._record.read_text()
            pid = int(recorded.split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        await self._end(lambda: _identity(pid) == recorded, lambda number: os.kill(pid, number))
        self._record.unlink()

    def bound_log(self) -> None:
        """Keep the log within bounds: what is too long becomes `.1`. The server appends, so it goes on at the front."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)
            self._log_start = 0

    def last_words(self) -> str:
        """Return the end of what this process has logged."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read(_LOG_BYTES).decode(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_LINES:])

    def obituary(self, title: str) -> str:
        """Return the sentence that says how the process ended, and what it said at the end."""
        said = self.last_words()
        if "No space left on device" in said:
            return (
                f"{title} stopped because the disk of {self.log.parent} is full: free some space. Its log: {self.log}"
            )
        code = self.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        return f"{title} {how}. The end of its log {self.log}:\n{said}"

    async def _end(self, alive: Callable[[], bool], send: Callable[[int], None]) -> None:
        for step in self._stop_steps:
            if not alive():
                return
            try:
                send(step.signal)
                async with asyncio.timeout(step.seconds):
                    await _until(lambda: not alive())
            except TimeoutError:
                continue
            except ProcessLookupError:  # it was quicker
                return


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 # the end of somebody else's child is no event
        await asyncio.sleep(_POLL)


def _identity(pid: int) -> str | None:
    """Return what no other process ever shares: pid, start time in ticks, boot. None when it is dead.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, fields 3 and 22; readable whatever the uid.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return f"{pid} {fields[19]} {_boot()}"


def _boot() -> str:
    """Return which boot this is, empty where systemd's ProcSubset=pid hides it: its units leave nothing behind."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
