"""One file per exchange: what to subscribe, how to parse, what makes a gap, how to ask for history.

A module here that defines an `Exchange` of its own is an exchange; there is no list to keep.
"""

import importlib
import inspect
import pkgutil
from difflib import get_close_matches

from bus.errors import ConfigError
from daemon.exchanges.base import Exchange


def _classes() -> dict[str, type[Exchange]]:
    """Every translator in this folder by name."""
    found: dict[str, type[Exchange]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            is_class = inspect.isclass(value) and value.__module__ == module.__name__
            if is_class and issubclass(value, Exchange) and not inspect.isabstract(value):
                found[value.name] = value
    return found


def names() -> list[str]:
    """Return the exchanges that have a translator here, in alphabetical order."""
    return sorted(_classes())


def contiguous() -> frozenset[str]:
    """Return the exchanges whose trade ids rise by one for each symbol."""
    return frozenset(name for name, translator in _classes().items() if translator.contiguous)


def load(name: str) -> type[Exchange]:
    """Return the translator of an exchange by name. Raises ConfigError, naming the nearest, when there is none."""
    classes = _classes()
    if name in classes:
        return classes[name]
    near = get_close_matches(name.lower(), classes, n=2) or sorted(classes)
    raise ConfigError(f"no translator is called {name!r}; did you mean {' or '.join(near)}?")
