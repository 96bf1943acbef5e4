"""What signals ask for."""

import asyncio
import os
import signal

import pytest

from daemon import signals
from daemon.signals import Signals


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether there is a terminal: the last value."""
    there = [False]
    monkeypatch.setattr(signals, "_terminal", lambda: there[-1])
    return there


def state(received: Signals) -> tuple[bool, bool, bool]:
    return received.drain.is_set(), received.now.is_set(), received.reload.is_set()


def test_the_first_signal_drains_and_the_second_ends_at_once(terminal):
    received = Signals()
    received.received()
    assert state(received) == (True, False, False)
    received.received()
    assert state(received) == (True, True, False)


@pytest.mark.parametrize(("before", "after", "expected"), [
    (False, False, (False, False, True)),
    (True, True, (False, False, True)),
    (True, False, (True, False, False)),
])  # fmt: skip
def test_a_hang_up_reloads_unless_the_terminal_has_gone(terminal, before, after, expected):
    terminal.append(before)
    received = Signals()
    terminal.append(after)
    received.hung_up()
    assert state(received) == expected


async def test_sighup_is_taken_over():
    received = Signals()
    received.install(asyncio.get_running_loop())
    os.kill(os.getpid(), signal.SIGHUP)
    async with asyncio.timeout(60):
        await received.reload.wait()
    assert not received.drain.is_set()
