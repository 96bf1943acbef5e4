"""Takes secrets out of what leaves the process: logs, error messages, /ready, the log of commands."""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

MASK: Final = "***"

_SENSITIVE: Final = (
    r"(?:[a-z0-9]+[_.-])*[a-z0-9]*"
    r"(?:key|secret|token|signature|password|passwd|passphrase|authorization|credentials?)"
)
_SENSITIVE_NAME: Final = re.compile(rf"{_SENSITIVE}\Z", re.IGNORECASE)
# The password of any URL, up to the last @ before the path: a raw @, ? or # in it must not save its tail.
_URL_PASSWORD: Final = re.compile(r"([a-z][a-z0-9+.-]*://[^\s\"'@/:]*):[^\s\"'/]*@", re.IGNORECASE)
# name=value, "name": "value", 'name': 'value', Name: Bearer value; quotes may be escaped by an outer string.
_ASSIGNMENT: Final = re.compile(
    rf"(?<![a-z0-9])({_SENSITIVE}\\*[\"']?\s*[=:]\s*)"
    r"(?:\\*\"[^\"]*\"|\\*'[^']*'|(?:(?:Bearer|Basic)\s+)?[^\s&\"',;}\])]+)",
    re.IGNORECASE,
)
_SHORTEST: Final = 4
_PLAIN: Final = (int, float, bool, type(None))
_DEEPEST: Final = 6

_lock = threading.Lock()
_registered: tuple[str, ...] = ()


def register_secret(secret: str) -> None:
    """Have a value masked wherever it turns up from now on, in the spellings that URLs, JSON and repr() give it.

    Values of fewer than 4 characters are ignored: masking them would blank out innocent text.
    """
    global _registered  # noqa: PLW0603 # one process, one list: a secret is secret in every logger
    if len(secret) < _SHORTEST:
        return
    spellings = {secret, quote(secret, safe=""), unquote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    with _lock:
        _registered = tuple(sorted({*_registered, *spellings}, key=len, reverse=True))


def register_url(url: str) -> None:
    """Register the passwords that a URL carries, if it carries any: before its host, or as options."""
    parts = urlsplit(url)
    if parts.password:
        register_secret(unquote(parts.password))
        register_secret(parts.password)
    for name, value in parse_qsl(parts.query):
        if names_secret(name):
            register_secret(value)


def redact(text: str) -> str:
    """Return the text with registered secrets, passwords in URLs and values of secret-sounding names masked."""
    for secret in _registered:
        text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    return _ASSIGNMENT.sub(rf"\1{MASK}", text)


def names_secret(name: str) -> bool:
    """Say whether a field's name sounds like its value is secret: api_key, listenKey, signature, password."""
    return _SENSITIVE_NAME.match(name) is not None


def redacted(name: str, value: Any, depth: int = _DEEPEST) -> Any:
    """Return a value of this name with its secrets masked; what is no plain value, list or mapping becomes its repr."""
    if isinstance(value, _PLAIN):
        return value
    if names_secret(name):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping) and depth:
        return {redact(str(key)): redacted(str(key), inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray) and depth:
        return [redacted(name, inner, depth - 1) for inner in value]
    return redact(repr(value))
