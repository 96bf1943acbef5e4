"""Every setting: its name, type, default and meaning, in the one place that knows them."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

LATEST = 1
BUS_SCHEMES = ("redis://", "rediss://", "redis+cluster://", "unix://")
STORE_SCHEMES = ("postgresql://", "postgres://")
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:\d+)?")

Channel = Literal["trade", "ticker", "book", "candle", "funding", "open_interest", "liquidation", "mark_price"]
Timeframe = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M",
]  # fmt: skip
BuiltTimeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"]


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is listed twice")
    return values


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("is empty; leave it out for the default")
    return _distinct(values)


def _symbol(symbol: str) -> str:
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


def _bus_url(url: SecretStr) -> SecretStr:
    return _url(url, BUS_SCHEMES)


def _store_dsn(dsn: SecretStr) -> SecretStr:
    return _url(dsn, STORE_SCHEMES)


def _endpoint(schemes: tuple[str, ...], value: str) -> str:
    if not value.startswith(schemes) or not urlsplit(value).hostname:
        raise ValueError(f"should start with {' or '.join(schemes)} and name a host")
    return value.rstrip("/")


def _rest(value: str) -> str:
    return _endpoint(("http://", "https://"), value)


def _websocket(value: str) -> str:
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


def _listen(value: str) -> str:
    split_address(value)
    return value


def _version(version: int) -> int:
    if version != LATEST:
        raise ValueError(f"this marketd reads version {LATEST} of the configuration")
    return version


Symbol = Annotated[str, AfterValidator(_symbol)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bus(Section):
    """[bus]: where events travel."""

    url: Annotated[SecretStr, AfterValidator(_bus_url)] = Field(
        default=SecretStr("embedded"),
        description='Redis or Valkey: "embedded", redis://…, rediss://…, redis+cluster://… or unix://…; file:/PATH '
        "reads the URL from a file",
    )
    prefix: str = Field(
        default="md", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="what every stream's name starts with"
    )
    max_entries: int = Field(
        default=1_000_000, ge=1_000, description="entries per stream at which old ones go, read or not (the hard cap)"
    )
    spool_max_bytes: int = Field(
        default=1024**3, ge=1024**2, description="bytes of events kept on disk, in data_dir, while Redis is away"
    )
    port: Port | None = Field(
        default=None, description="loopback TCP port of the embedded server, for other programs; none: unix socket only"
    )


class Store(Section):
    """[store]: where rows stand."""

    dsn: Annotated[SecretStr, AfterValidator(_store_dsn)] = Field(
        default=SecretStr("embedded"),
        description='PostgreSQL or TimescaleDB: "embedded" or postgresql://…; file:/PATH reads the DSN from a file',
    )
    port: Port | None = Field(
        default=None, description="loopback TCP port of the embedded server, for other programs; none: unix socket only"
    )


class Http(Section):
    """[http]: what is scraped and probed."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:8710", description="address of /metrics, /health and /ready; port 0 takes any free one"
    )


class Log(Section):
    """[log]: what the daemon says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severity that is written"
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: readable on a terminal, JSON lines elsewhere"
    )


class Candles(Section):
    """[candles]: which candles are built where an exchange does not send them."""

    timeframes: Annotated[tuple[BuiltTimeframe, ...], AfterValidator(_distinct)] = Field(
        default=("1m", "5m", "15m", "1h", "4h", "1d"),
        description="candles that are built, from one-minute candles or trades, where the exchange sends none",
    )


class Shutdown(Section):
    """[shutdown]: how the daemon ends."""

    deadline: float = Field(
        default=10.0,
        gt=0,
        le=300,
        allow_inf_nan=False,
        description="seconds that draining may take after SIGTERM or Ctrl-C",
    )


class Endpoints(Section):
    """Another host that speaks the exchange's protocol; what is not given stays the exchange's own."""

    rest: Annotated[str, AfterValidator(_rest)] | None = Field(
        default=None, description="base URL of another host for the same REST protocol, e.g. of `marketd simulate`"
    )
    websocket: Annotated[str, AfterValidator(_websocket)] | None = Field(
        default=None, description="base URL of another host for the same WebSocket protocol"
    )


class Exchange(Section):
    """[[exchanges]]: what to collect from one exchange."""

    name: Name = Field(description="the exchange: a name that `marketd exchange list` shows")
    symbols: Annotated[tuple[Symbol, ...], AfterValidator(_some)] = Field(
        default=("BTC/USDT", "ETH/USDT"),
        description="unified symbols: BTC/USDT, or BTC/USDT:USDT for a perpetual",
    )
    channels: Annotated[tuple[Channel, ...], AfterValidator(_some)] = Field(
        default=("trade", "ticker", "book", "candle"),
        description="what to collect: trade, ticker, book, candle, funding, open_interest, liquidation, mark_price",
    )
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(_some)] = Field(
        default=("1m",), description="candle lengths, 1s to 1M"
    )
    trades: Literal["each", "aggregate"] = Field(
        default="each", description="every trade, or the exchange's aggregates of one order's fills at one price"
    )
    fallbacks: Annotated[tuple[Name, ...], AfterValidator(_distinct)] = Field(
        default=(), description="exchanges that deliver the same symbols while this one's breaker is open"
    )
    endpoints: Endpoints = Endpoints()

    @model_validator(mode="after")
    def _no_fallback_to_itself(self) -> "Exchange":
        if self.name in self.fallbacks:
            raise ValueError(f"fallbacks name {self.name} itself")
        return self


class Config(Section):
    """A whole configuration."""

    version: Annotated[int, AfterValidator(_version)] = Field(
        default=LATEST, description="version of this file's format"
    )
    data_dir: Path = Field(
        default=Path("~/.local/share/marketd"),
        description="embedded servers and spool; under systemd the unit's StateDirectory unless set",
    )
    bus: Bus = Bus()
    store: Store = Store()
    http: Http = Http()
    log: Log = Log()
    candles: Candles = Candles()
    shutdown: Shutdown = Shutdown()
    exchanges: tuple[Exchange, ...] = (Exchange(name="binance"),)

    @model_validator(mode="after")
    def _one_block_per_exchange(self) -> "Config":
        try:
            _distinct(tuple(exchange.name for exchange in self.exchanges))
        except ValueError as error:
            raise ValueError(f"exchanges: {error}; put its symbols and channels into one [[exchanges]] block") from None
        return self

    def secret_urls(self) -> Iterator[str]:
        """Yield the URLs that may carry a password, for `daemon.redact.register_url`."""
        yield self.bus.url.get_secret_value()
        yield self.store.dsn.get_secret_value()
