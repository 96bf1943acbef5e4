"""sd_notify against a real datagram socket, by path and in the abstract namespace."""

import os
import socket
import uuid

import pytest
from structlog.testing import capture_logs

from daemon.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = f"@marketd-{uuid.uuid4().hex}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(2)
        yield name, lambda: listening.recv(4096).decode().split("\n")


def test_every_message(manager):
    name, received = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("2 exchanges\nlive")
    assert received() == ["READY=1", "STATUS=2 exchanges live"]
    notifier.status("working")
    assert received() == ["STATUS=working"]
    notifier.watchdog()
    assert received() == ["WATCHDOG=1"]
    notifier.reloading()
    first, second = received()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.stopping()
    assert received() == ["STOPPING=1"]


def test_without_systemd_nothing_happens():
    with capture_logs() as logs:
        Notifier({}).ready()
    assert not logs


def test_a_manager_that_is_gone_is_logged_and_survived(tmp_path):
    with capture_logs() as logs:
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert logs[0]["event"] == "systemd cannot be told"


@pytest.mark.parametrize(
    ("env", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_interval_is_half_of_what_systemd_tolerates(env, interval):
    assert Notifier(env).watchdog_interval == interval
