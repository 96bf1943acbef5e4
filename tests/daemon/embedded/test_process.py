import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from daemon.embedded import process
from daemon.embedded.process import Child, StopStep

STOP = (StopStep(signal.SIGTERM, 10), StopStep(signal.SIGKILL, 10))
STUBBORN = ["/bin/sh", "-c", 'trap "" TERM; echo trapped; while :; do sleep 0.05; done']


@pytest.fixture
async def child(tmp_path):
    child = Child("server", tmp_path, STOP)
    yield child
    await child.stop()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # a log file grows without telling
            await asyncio.sleep(0.01)


async def test_ends_with_its_code_and_last_words(child, tmp_path):
    child.spawn(["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo line $i; done; exit 3"], tmp_path)
    assert await child.ended() == 3
    sentence = child.obituary("Server")
    assert "Server ended with 3." in sentence
    assert str(tmp_path / "server.log") in sentence
    assert sentence.endswith("line 7\nline 8")
    assert "line 2" not in sentence


async def test_a_full_disk_is_recognised(child, tmp_path):
    child.spawn(["/bin/sh", "-c", "echo could not extend file: No space left on device; exit 1"], tmp_path)
    await child.ended()
    assert "is full: free some space" in child.obituary("Server")


async def test_gets_its_own_session_and_nothing_of_our_environment(child, tmp_path, monkeypatch):
    monkeypatch.setenv("MARKETD_SECRET", "hunter2")
    child.spawn(["/bin/sh", "-c", 'echo "secret: $MARKETD_SECRET"; umask; exec sleep 60'], tmp_path)
    await until(lambda: len(child.last_words().splitlines()) == 2)
    assert child.last_words() == "secret: \n0077"
    assert os.getsid(child.pid) == child.pid


async def test_stop_gets_harder(tmp_path):
    child = Child("server", tmp_path, (StopStep(signal.SIGTERM, 0.1), StopStep(signal.SIGKILL, 10)))
    child.spawn(STUBBORN, tmp_path)
    await until(lambda: child.last_words() == "trapped")
    await child.stop()
    assert child.returncode == -signal.SIGKILL
    assert "was killed by SIGKILL" in child.obituary("Server")


async def test_a_leftover_is_found_by_its_record(child, tmp_path):
    child.spawn(["/bin/sleep", "60"], tmp_path)
    await Child("server", tmp_path, STOP).end_leftover()
    assert child.returncode == -signal.SIGTERM


async def test_a_start_that_fails_early_does_not_forget_the_leftover(child, tmp_path):
    child.spawn(["/bin/sleep", "60"], tmp_path)
    await Child("server", tmp_path, STOP).stop()
    assert child.alive
    await Child("server", tmp_path, STOP).end_leftover()
    assert not child.alive


async def test_a_process_that_only_has_the_leftovers_pid_is_left_alone(child, tmp_path):
    child.spawn(["/bin/sleep", "60"], tmp_path)
    record = tmp_path / "server.pid"
    pid, ticks, *boot = record.read_text().split(" ")
    record.write_text(" ".join([pid, str(int(ticks) - 1), *boot]))
    await Child("server", tmp_path, STOP).end_leftover()
    assert child.alive
    assert not record.exists()


@pytest.mark.parametrize("text", ["", "nonsense"])
async def test_a_damaged_record_is_no_leftover(tmp_path, text):
    (tmp_path / "server.pid").write_text(text)
    await Child("server", tmp_path, STOP).end_leftover()


async def test_dies_with_its_parent(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from daemon.embedded.process import *;"
        "child = Child('server', Path(sys.argv[1]), [StopStep(signal.SIGTERM, 1)]);"
        "child.spawn(['/bin/sh', '-c', 'echo up; exec sleep 60'], Path('/'));\n"
        "while not child.last_words(): pass\n"
        "os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, tmp_path, env=environment)
    assert await parent.wait() == -signal.SIGKILL
    pid = int((tmp_path / "server.pid").read_text().split()[0])
    await until(lambda: process._identity(pid) is None)


async def test_the_log_stays_within_bounds_while_the_server_writes(child, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_LOG_BYTES", 1000)
    child.spawn(["/bin/sh", "-c", "while :; do echo 0123456789; sleep 0.001; done"], tmp_path)
    for _ in range(3):
        await until(lambda: child.log.stat().st_size > 1000)
        child.bound_log()
        assert child.log.stat().st_size < 1000
    assert (tmp_path / "server.log.1").stat().st_size > 1000
    await until(lambda: "0123456789" in child.last_words())
