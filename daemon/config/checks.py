"""What a setting's value must look like. Every check returns the value or raises ValueError with a sentence."""

import re
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

BUS_SCHEMES: Final = ("redis://", "rediss://", "redis+cluster://", "unix://")
STORE_SCHEMES: Final = ("postgresql://", "postgres://")
_QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:\d+)?")


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Accept values that differ."""
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is listed twice")
    return values


def some(values: tuple[str, ...]) -> tuple[str, ...]:
    """Accept one value or more, all different."""
    if not values:
        raise ValueError("is empty; leave it out for the default")
    return distinct(values)


def symbol(symbol: str) -> str:
    """Accept ccxt's unified symbols: BASE/QUOTE, or BASE/QUOTE:SETTLE for a derivative."""
    if re.fullmatch(r"[^\s/:]+/[^\s/:]+(:[^\s/:]+)?", symbol) and not symbol.islower():
        return symbol
    upper = re.sub(r"[\s_-]+", "/", symbol.strip().upper())
    if re.fullmatch(r"[^/:]+/[^/:]+(:[^/:]+)?", upper):
        raise ValueError(f"write {upper}")
    for quote in _QUOTES:
        if upper.endswith(quote) and upper.isalnum() and len(upper) > len(quote):
            raise ValueError(f"write {upper.removesuffix(quote)}/{quote}")
    raise ValueError("write BASE/QUOTE, like BTC/USDT, or BASE/QUOTE:SETTLE for a derivative, like BTC/USDT:USDT")


def pattern(value: str) -> str:
    """Accept a regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return value


def _url(secret: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """Check a server's URL without ever quoting it: it may carry a password."""
    url = secret.get_secret_value()
    if url == "embedded":
        return secret
    if not url.startswith(schemes):
        raise ValueError(f'should be "embedded" or start with {", ".join(schemes[:-1])} or {schemes[-1]}')
    if not all(_HOST.fullmatch(host) for host in urlsplit(url).netloc.rpartition("@")[2].split(",")):
        raise ValueError("has no readable host and port: percent-encode / ? # @ : in user name and password")
    return secret


def bus_url(url: SecretStr) -> SecretStr:
    """Accept where events can travel."""
    return _url(url, BUS_SCHEMES)


def store_dsn(dsn: SecretStr) -> SecretStr:
    """Accept where rows can stand."""
    return _url(dsn, STORE_SCHEMES)


def _endpoint(schemes: tuple[str, ...], value: str) -> str:
    if not value.startswith(schemes) or not urlsplit(value).hostname:
        raise ValueError(f"should start with {' or '.join(schemes)} and name a host")
    return value.rstrip("/")


def rest(value: str) -> str:
    """Accept the base URL of a REST API."""
    return _endpoint(("http://", "https://"), value)


def websocket(value: str) -> str:
    """Accept the base URL of WebSockets."""
    return _endpoint(("ws://", "wss://"), value)


def split_address(listen: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`. Raises ValueError with a sentence."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 # the highest port
        raise ValueError("should be HOST:PORT, like 127.0.0.1:8710 or [::1]:8710 (port 0 takes any free one)")
    if not host:
        raise ValueError(f"names no host; write 127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} for all")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(f"is an IPv6 address without brackets; write [{host}]:{port}")
    return host, int(port)


def listen(value: str) -> str:
    """Accept an address to listen on."""
    split_address(value)
    return value
