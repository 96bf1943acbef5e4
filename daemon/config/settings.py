"""A configuration as flat settings (`log.level`, `exchanges.binance.symbols`), to be kept, compared, patched, merged.

Exchanges are known by their names here. A setting is the unit of every change: a list is replaced as a whole.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import JsonValue, SecretStr, ValidationError

from bus.errors import ConfigError
from daemon.config.model import Config
from daemon.explain import Location, explain, keys, spell
from daemon.nearest import did_you_mean
from daemon.redact import MASK

Settings: TypeAlias = dict[str, JsonValue]

_CHANGEABLE: Final = ("retention", "log", "shutdown", "exchanges")
"""The sections that can change while marketd runs."""
_EXCHANGES: Final = "exchanges"


class Change(NamedTuple):
    """One setting that differs; None where there is none."""

    path: str
    before: JsonValue
    after: JsonValue


def everything(config: Config) -> Settings:
    """Return every setting, secrets masked."""
    found: Settings = {}
    for section, value in config.model_dump(mode="json").items():
        if section == _EXCHANGES:
            found |= {f"{_EXCHANGES}.{block['name']}.{key}": inner for block in value for key, inner in block.items()}
        elif isinstance(value, dict):
            found |= {f"{section}.{key}": inner for key, inner in value.items()}
        else:
            found[section] = value
    return found | {path: _shown(secret) for path, secret in _secrets(config)}


def changeable(config: Config) -> Settings:
    """Return the settings that can change while marketd runs; there is no secret among them."""
    return {path: value for path, value in everything(config).items() if is_changeable(path)}


def is_changeable(path: str) -> bool:
    """Tell whether a setting can change while marketd runs."""
    return path.partition(".")[0] in _CHANGEABLE


def fixed_changes(before: Config, after: Config) -> list[str]:
    """Return the settings that differ and cannot change while marketd runs."""
    one, other = everything(before) | dict(_secrets(before)), everything(after) | dict(_secrets(after))
    return [path for path in one if not is_changeable(path) and one[path] != other[path]]


def _secrets(config: Config) -> Iterator[tuple[str, Any]]:
    for section in type(config).model_fields:
        value = getattr(config, section)
        for key in getattr(type(value), "model_fields", ()):
            if isinstance(getattr(value, key), SecretStr):
                yield f"{section}.{key}", getattr(value, key)


def _shown(secret: SecretStr) -> str:
    return "embedded" if secret.get_secret_value() == "embedded" else MASK


def nested(settings: Settings) -> dict[str, Any]:
    """Return settings as tables in tables, as a patch takes them."""
    tables: dict[str, Any] = {}
    for path, value in settings.items():
        *parents, key = path.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[key] = value
    return tables


def build(base: Config, settings: Settings) -> Config:
    """Return `base` with these settings in place of its changeable ones. Raises ConfigError, a line per problem."""
    given = nested(settings)
    exchanges = given.pop(_EXCHANGES, {})
    layer = {key: value for key, value in base.model_dump().items() if key not in _CHANGEABLE} | given
    known = [exchange.name for exchange in base.exchanges]  # the file's order, then by name: tables have none
    names = sorted(exchanges, key=lambda name: (known.index(name) if name in known else len(known), name))
    layer[_EXCHANGES] = [exchanges[name] for name in names]

    def spelled(location: Location) -> str:
        if location[:1] == (_EXCHANGES,) and len(location) > 1 and isinstance(location[1], int):
            return f"{_EXCHANGES}.{names[location[1]]}{spell(('', *location[2:]))}"
        return spell(location)

    try:
        return Config.model_validate(layer)
    except ValidationError as error:
        raise ConfigError("\n".join(explain(error, Config, spelled))) from None


def merge(then: Settings, changed: Settings, now: Settings) -> Settings:
    """Carry changes made over the settings `then` to the settings `now`.

    A change holds while what it was made over is still the same; a setting that has changed there since wins.
    """
    merged: Settings = {}
    for path in {**now, **changed}:
        kept = then.get(path) == now.get(path) and (path in then) == (path in now)
        source = changed if kept else now
        if path in source:
            merged[path] = source[path]
    # an exchange that had been given up and has a changed block now is wanted again, as a whole
    wanted = {_block(path) for path in merged if path.startswith(f"{_EXCHANGES}.")}
    return {path: value for path, value in now.items() if _block(path) in wanted and path not in changed} | merged


def _block(path: str) -> str:
    return ".".join(path.split(".")[:2])


def differences(before: Settings, after: Settings) -> list[Change]:
    """Return what differs, setting by setting."""
    return [
        Change(path, before.get(path), after.get(path))
        for path in {**before, **after}
        if before.get(path) != after.get(path)
    ]


def patch(settings: Settings, below: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return settings with changes, given as tables in tables; what comes out has yet to be validated.

    null takes back what a setting of `below` was changed to; an exchange that is null is given up. Raises ConfigError.
    """
    patched = dict(settings)
    for section, table in changes.items():
        if section not in _CHANGEABLE and section in Config.model_fields:
            raise _refusal([f"{section}.{key}" for key in table] if isinstance(table, dict) else [section])
        if not isinstance(table, Mapping):
            raise ConfigError(f"{section} should be a table of settings")
        if "." in section:
            raise ConfigError(f"{section}: a patch holds tables in tables, not names with dots")
        if section == _EXCHANGES:
            for name, block in table.items():
                _patch_exchange(patched, below, name, block)
        else:
            _patch_table(patched, below, section, table)
    return patched


def _patch_exchange(patched: Settings, below: Settings, name: str, block: JsonValue) -> None:
    prefix = f"{_EXCHANGES}.{name}"
    if block is None:
        gone = [path for path in patched if _block(path) == prefix]
        if not gone:
            raise ConfigError(f"{prefix} is not configured")
        for path in gone:
            del patched[path]
    elif isinstance(block, Mapping):
        _patch_table(patched, below, prefix, {"name": name, **block})
    else:
        raise ConfigError(f"{prefix} should be a table of settings, or null to collect from {name} no more")


def _patch_table(patched: Settings, below: Settings, prefix: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        path = f"{prefix}.{key}"
        present = patched.get(path)
        if "." in key:
            raise ConfigError(f"{path}: a patch holds tables in tables, not names with dots")
        if value is None and (path in below or path in patched):
            patched.pop(path, None)
            patched |= {path: below[path]} if path in below else {}
        elif isinstance(value, Mapping) and isinstance(present, dict):
            patched[path] = {k: v for k, v in {**present, **value}.items() if v is not None}
        else:
            patched[path] = value


def _refusal(paths: list[str]) -> ConfigError:
    """Say why settings outside of the changeable sections are not changed."""
    known = [key.name for key in keys(Config)]
    for path in paths:
        if path not in known:
            return ConfigError(f"{path} is not known here{did_you_mean(path, known)}")
    return RestartNeeded(paths)


class RestartNeeded(ConfigError):
    """A setting cannot change while marketd runs."""

    def __init__(self, paths: list[str]) -> None:
        what = ", ".join(paths)
        super().__init__(f"{what} cannot change while marketd runs: write it into the configuration file and restart")
