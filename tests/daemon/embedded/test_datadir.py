import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from bus.errors import ConfigError
from daemon.embedded import datadir
from daemon.embedded.datadir import DataDirectory, is_locked


def test_is_made_private_with_its_parents(tmp_path):
    with DataDirectory(tmp_path / "a" / "b") as data:
        assert stat.S_IMODE(data.path.stat().st_mode) == 0o700


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with DataDirectory(Path("~/data")) as data:
        assert data.path == tmp_path / "data"
        assert is_locked(Path("~/data"))


def test_a_second_one_is_refused_and_told_what_to_do(tmp_path):
    with (
        DataDirectory(tmp_path),
        pytest.raises(ConfigError, match=rf"pid {os.getpid()}\).*stop it.*marketd env"),
        DataDirectory(tmp_path),
    ):
        pass


def test_the_lock_ends_with_its_owner_and_looking_does_not_take_it(tmp_path):
    assert not is_locked(tmp_path / "nowhere")
    with DataDirectory(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    with DataDirectory(tmp_path):
        pass


@pytest.mark.usefixtures("ordinary_user")
def test_a_folder_of_somebody_else_is_refused():
    with (
        pytest.raises(ConfigError, match=r"/usr belongs to user root, .*start marketd as that user"),
        DataDirectory(Path("/usr")),
    ):
        pass


@pytest.mark.usefixtures("ordinary_user")
def test_a_folder_that_cannot_be_written_is_refused():
    with (
        pytest.raises(ConfigError, match=r"cannot write to /usr/marketd .*set data_dir"),
        DataDirectory(Path("/usr/marketd")),
    ):
        pass


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be the data directory"), DataDirectory(tmp_path / "file"):
        pass


def test_a_folder_that_everybody_may_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod o-w"), DataDirectory(tmp_path):
        pass


def test_a_nearly_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(datadir, "FREE_BYTES", 1 << 60)
    with pytest.raises(ConfigError, match=r"MiB are free .*another disk"), DataDirectory(tmp_path):
        pass
    assert not is_locked(tmp_path)


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ConfigError, match="is full: free some space"), DataDirectory(tmp_path):
        pass
    assert not is_locked(tmp_path)


def test_a_short_path_is_used_as_it_is(open_folder):
    with DataDirectory(open_folder / "d") as data:
        folder = data.folder("valkey")
        assert data.reach(folder) == folder


@pytest.fixture
def runtime(open_folder, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    return open_folder


def test_a_long_path_gets_a_short_private_alias_that_goes_away(tmp_path, runtime):
    with DataDirectory(tmp_path / ("d" * 200)) as data:
        folder = data.folder("valkey")
        (folder / "kept").touch()
        alias = data.reach(folder)
        assert alias.is_relative_to(runtime)
        assert stat.S_IMODE(alias.parent.stat().st_mode) == 0o700
        assert (alias / "kept").exists()
        assert data.reach(folder) == alias
    assert list(runtime.iterdir()) == []
    assert (folder / "kept").exists()


@pytest.mark.usefixtures("runtime")
def test_an_alias_left_by_a_killed_daemon_is_taken_over(tmp_path):
    with DataDirectory(tmp_path / ("d" * 200)) as data:
        alias = data.reach(data.folder("valkey"))
    alias.parent.mkdir(mode=0o755)
    alias.symlink_to("/nowhere")
    with DataDirectory(data.path) as data:
        assert data.reach(data.folder("valkey")).resolve() == data.path / "valkey"
        assert stat.S_IMODE(alias.parent.stat().st_mode) == 0o700


def test_a_link_planted_in_place_of_the_alias_is_not_followed(tmp_path, runtime, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    with DataDirectory(tmp_path / ("d" * 200)) as data:
        alias = data.reach(data.folder("valkey"))
    (runtime / "trap").mkdir()
    alias.parent.symlink_to(runtime / "trap")
    with DataDirectory(data.path) as data:
        assert not data.reach(data.folder("valkey")).is_relative_to(runtime)
    assert list((runtime / "trap").iterdir()) == []
    with DataDirectory(data.path) as data, pytest.raises(ConfigError, match="remove what stands there"):
        data.runtime_folder("", 0o700, [str(runtime)])
