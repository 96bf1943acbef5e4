"""The layers of a configuration before validation: file, systemd, environment, each a mapping of what it sets."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from bus.errors import ConfigError
from daemon.config.model import Config
from daemon.explain import Key, keys
from daemon.nearest import nearest

Layer = dict[str, Any]

PREFIX: Final = "MARKETD_"
CONFIG_VARIABLE: Final = "MARKETD_CONFIG"
NOT_SETTINGS: Final = frozenset({CONFIG_VARIABLE, "MARKETD_RECORDINGS"})
# Kubernetes puts these into every container that lives beside a Service called marketd.
_KUBERNETES: Final = re.compile(r"MARKETD_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
_SECTIONS: Final = frozenset({"bus", "store", "http", "log", "shutdown"})


class _Environment(Config, BaseSettings):
    """The same settings, as pydantic-settings wants them for reading an environment."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)


def read_file(path: Path) -> Layer:
    """Read a TOML file. Raises ConfigError that names the file and, where the syntax is wrong, the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from None


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Pick the MARKETD_ variables that are meant as settings; empty ones count as not set."""
    return {
        name: value
        for name, value in env.items()
        if name.startswith(PREFIX) and value and name not in NOT_SETTINGS and not _KUBERNETES.fullmatch(name)
    }


def variable(key: Key) -> str:
    """Name the environment variable that sets a key: bus.url → MARKETD_BUS__URL; exchanges go as one JSON array."""
    top = key.name.partition("[]")[0]
    return PREFIX + top.upper().replace(".", "__")


def read_environment(env: Mapping[str, str]) -> Layer:
    """Read MARKETD_SECTION__KEY variables. Raises ConfigError that names misspelt ones and the nearest valid name."""
    given = variables(env)
    known = {variable(key) for key in keys(Config)} | {PREFIX + section.upper() for section in _SECTIONS}
    unknown = [f"{name} is not a setting{_guess(name, known)}" for name in given if name.upper() not in known]
    if unknown:
        raise ConfigError("\n".join(unknown))
    source = EnvSettingsSource(_Environment, env_prefix=PREFIX, env_nested_delimiter="__")
    source.env_vars = {name.lower(): value for name, value in given.items()}
    try:
        return source()
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = PREFIX + field[1].upper() if field else "the environment"
        raise ConfigError(f"{name} should hold JSON: {error.__cause__}") from None


def _guess(name: str, known: set[str]) -> str:
    guess = nearest(name.removeprefix(PREFIX), {full.removeprefix(PREFIX) for full in known})
    return f"; did you mean {PREFIX}{guess}?" if guess else ""


def read_systemd(env: Mapping[str, str]) -> tuple[Layer, Layer]:
    """Read what systemd gives a unit: a default for data_dir, and credentials (files called `bus.url`, `store.dsn`)."""
    defaults: Layer = {}
    state = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        defaults["data_dir"] = state
    folder = env.get("CREDENTIALS_DIRECTORY")
    credentials = dict(_credentials(Path(folder))) if folder else {}
    return defaults, credentials


def _credentials(folder: Path) -> Iterator[tuple[str, Layer]]:
    for key in keys(Config):
        file = folder / key.name
        if key.secret and file.is_file():
            section, _, name = key.name.partition(".")
            yield section, {name: read_secret(key.name, str(file))}


def read_secret(key: str, path: str) -> str:
    """Read a secret from a file of its own. Raises ConfigError that names the key, never the content."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text or path"
        raise ConfigError(f"{key}: the file {path} cannot be read: {reason}") from None
    if not text:
        raise ConfigError(f"{key}: the file {path} is empty")
    return text


def merge(*layers: Layer) -> Layer:
    """Lay later layers over earlier ones, key by key inside sections; lists are replaced as a whole."""
    merged: Layer = {}
    for layer in layers:
        for name, value in layer.items():
            below = merged.get(name)
            merged[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def resolve_files(layer: Layer) -> Layer:
    """Replace `file:/PATH` in secret settings by what the file holds."""
    resolved = merge(layer)
    for key in (key for key in keys(Config) if key.secret):
        section, _, name = key.name.partition(".")
        table = resolved.get(section)
        value = table.get(name) if isinstance(table, dict) else None
        if isinstance(value, str) and value.startswith("file:"):
            resolved[section] = {**resolved[section], name: read_secret(key.name, value.removeprefix("file:"))}
    return resolved
