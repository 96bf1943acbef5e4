"""The configuration: defaults < file < systemd credentials < environment, validated, every problem a sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from bus.errors import ConfigError
from daemon.config.checks import split_address
from daemon.config.layers import (
    CONFIG_VARIABLE,
    PREFIX,
    Layer,
    merge,
    read_environment,
    read_file,
    read_systemd,
    resolve_files,
    variable,
)
from daemon.config.model import (
    Bus,
    Config,
    Endpoints,
    Exchange,
    Feeds,
    Http,
    Log,
    Polling,
    Retention,
    Selection,
    Shutdown,
    Store,
)
from daemon.explain import Key, Location, explain, keys, spell

__all__ = [
    "Bus",
    "Config",
    "Endpoints",
    "Exchange",
    "Feeds",
    "Http",
    "Log",
    "Polling",
    "Retention",
    "Selection",
    "Shutdown",
    "Store",
    "find",
    "load",
    "reference",
    "split_address",
    "variable",
]

PLACES: Final = (Path("marketd.toml"), Path("/etc/marketd/marketd.toml"))
"""Where a configuration is looked for when nobody names one."""


def find(option: Path | None, env: Mapping[str, str], places: Sequence[Path] = PLACES) -> Path | None:
    """Choose the file: `--config`, then $MARKETD_CONFIG, then the first of `places` that exists, else none."""
    if option is not None:
        return option
    named = env.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return next((place for place in places if place.exists()), None)


def load(path: Path | None, env: Mapping[str, str]) -> Config:
    """Load a configuration. Raises ConfigError with one line per problem, each naming the key and the fix.

    `path` None means no file. `env` is the only environment that is looked at.
    """
    file = read_file(path) if path is not None else {}
    defaults, credentials = read_systemd(env)
    environment = read_environment(env)
    layers = resolve_files(merge(defaults, file, credentials, environment))
    try:
        config = Config.model_validate(layers)
    except ValidationError as error:
        problems = explain(error, Config, lambda location: _origin(location, environment))
        source = f"{path}: " if path is not None else ""
        raise ConfigError("\n".join(f"{'' if p.startswith(PREFIX) else source}{p}" for p in problems)) from None
    return config.model_copy(update={"data_dir": _data_dir(config.data_dir, env)})


def reference() -> list[Key]:
    """Every setting with its default and meaning, for the documentation and the test that checks it."""
    return list(keys(Config))


def _origin(location: Location, environment: Layer) -> str:
    """Name a key as whoever wrote it knows it: by the environment variable where that is where it came from."""
    top = str(location[0]) if location else ""
    if top not in environment:
        return spell(location)
    value = environment[top]
    if isinstance(value, dict) and len(location) > 1:
        return f"{PREFIX}{top.upper()}__{str(location[1]).upper()}" if location[1] in value else spell(location)
    return f"{PREFIX}{top.upper()}{spell(('', *location[1:]))}"


def _data_dir(path: Path, env: Mapping[str, str]) -> Path:
    """Make the path absolute; `~` is $HOME."""
    if path.parts[:1] == ("~",) and env.get("HOME"):
        path = Path(env["HOME"], *path.parts[1:])
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"data_dir = {path}: {error}; write an absolute path") from None
