"""Every setting: its name, type, default and meaning, in the one place that knows them."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.config import checks

LATEST = 1

Channel = Literal["trade", "ticker", "book", "candle", "funding", "open_interest", "liquidation", "mark_price"]
Timeframe = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M",
]  # fmt: skip
BuiltTimeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"]


def _not_empty(path: Any) -> Any:
    if path == "":
        raise ValueError("is empty; leave it out for the default")
    return path


def _version(version: int) -> int:
    if version != LATEST:
        raise ValueError(f"this marketd reads version {LATEST} of the configuration")
    return version


Symbol = Annotated[str, AfterValidator(checks.symbol)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bus(Section):
    """[bus]: where events travel."""

    url: Annotated[SecretStr, AfterValidator(checks.bus_url)] = Field(
        default=SecretStr("embedded"),
        description='Redis or Valkey: "embedded", redis://…, unix://…, redis+cluster://… or with TLS rediss://…, '
        "rediss+cluster://…; file:/PATH reads the URL from a file",
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

    dsn: Annotated[SecretStr, AfterValidator(checks.store_dsn)] = Field(
        default=SecretStr("embedded"),
        description='PostgreSQL or TimescaleDB: "embedded" or postgresql://…; file:/PATH reads the DSN from a file',
    )
    port: Port | None = Field(
        default=None, description="loopback TCP port of the embedded server, for other programs; none: unix socket only"
    )


def _kept(what: str) -> Any:
    return Field(default=None, ge=1, le=36_500, description=f"days that {what} are kept; none: for ever")


class Retention(Section):
    """[retention]: what is removed when it is old. Nothing is, unless it is said here."""

    trade: int | None = _kept("trades")
    ticker: int | None = _kept("tickers")
    book: int | None = _kept("order books")
    candle: int | None = _kept("candles")
    funding: int | None = _kept("funding rates")
    open_interest: int | None = _kept("open interest")
    liquidation: int | None = _kept("liquidations")
    mark_price: int | None = _kept("mark prices")
    wait_for: Literal["nothing", "compression", "export"] = Field(
        default="nothing",
        description="what old data waits for before it is removed: nothing, compression (TimescaleDB), or export "
        "(`marketd data export` has written exactly these rows)",
    )


class Http(Section):
    """[http]: what is scraped and probed."""

    listen: Annotated[str, AfterValidator(checks.listen)] = Field(
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

    timeframes: Annotated[tuple[BuiltTimeframe, ...], AfterValidator(checks.distinct)] = Field(
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

    rest: Annotated[str, AfterValidator(checks.rest)] | None = Field(
        default=None, description="base URL of another host for the same REST protocol, e.g. of `marketd simulate`"
    )
    websocket: Annotated[str, AfterValidator(checks.websocket)] | None = Field(
        default=None, description="base URL of another host for the same WebSocket protocol"
    )


class Polling(Section):
    """What is asked for again and again, where it is not streamed."""

    interval: float = Field(
        default=30.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="seconds between two polls of what the exchange does not stream",
    )
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(checks.distinct)] = Field(
        default=(), description="lengths of the candles that are asked for after each close instead of streamed"
    )


class Feeds(Section):
    """Further symbols of an exchange, with channels of their own."""

    symbols: Annotated[tuple[Symbol, ...], AfterValidator(checks.some)] = Field(description="unified symbols")
    channels: Annotated[tuple[Channel, ...], AfterValidator(checks.some)] = Field(description="what to collect of them")
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(checks.some)] = Field(
        default=("1m",), description="candle lengths of these symbols"
    )


class Selection(Section):
    """A rule that chooses symbols, beside those that are named."""

    quotes: Annotated[tuple[str, ...], AfterValidator(checks.distinct)] = Field(
        default=(), description="symbols with one of these quote currencies, like USDT"
    )
    pattern: Annotated[str, AfterValidator(checks.pattern)] = Field(
        default="", max_length=200, description="symbols that this regular expression matches as a whole, like .*:USDT"
    )
    top: int | None = Field(
        default=None, ge=1, le=5_000, description="of these the ones with the highest volume of 24 hours, so many"
    )
    interval: float = Field(
        default=3600.0, ge=60, le=604_800, allow_inf_nan=False, description="seconds after which it chooses anew"
    )

    @property
    def active(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self.quotes or self.pattern or self.top)


def _chosen_otherwise(given: dict[str, Any]) -> bool:
    """Tell whether an exchange has symbols beside `symbols`."""
    select = given.get("select")
    return bool(given.get("feeds")) or (isinstance(select, Selection) and select.active)


def _default_symbols(given: dict[str, Any]) -> tuple[str, ...]:
    return () if _chosen_otherwise(given) else ("BTC/USDT", "ETH/USDT")


class Exchange(Section):
    """[[exchanges]]: what to collect from one exchange."""

    name: Name = Field(description="the exchange: a name that `marketd exchange list` shows")
    feeds: tuple[Feeds, ...] = Field(
        default=(), description="further symbols with channels of their own; what symbols.add and .remove write"
    )
    select: Selection = Selection()
    symbols: Annotated[tuple[Symbol, ...], AfterValidator(checks.distinct)] = Field(
        default_factory=_default_symbols,
        description="unified symbols: BTC/USDT, or BTC/USDT:USDT for a perpetual",
    )
    channels: Annotated[tuple[Channel, ...], AfterValidator(checks.some)] = Field(
        default=("trade", "ticker", "book", "candle"),
        description="what to collect: trade, ticker, book, candle, funding, open_interest, liquidation, mark_price",
    )
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(checks.some)] = Field(
        default=("1m",), description="candle lengths, 1s to 1M"
    )
    trades: Literal["each", "aggregate"] = Field(
        default="each", description="every trade, or the exchange's aggregates of one order's fills at one price"
    )
    fallbacks: Annotated[tuple[Name, ...], AfterValidator(checks.distinct)] = Field(
        default=(), description="exchanges that deliver the same symbols while this one's breaker is open"
    )
    polling: Polling = Polling()
    endpoints: Endpoints = Endpoints()

    @field_validator("symbols")
    @classmethod
    def _some_symbols(cls, symbols: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not symbols and not _chosen_otherwise(info.data):
            raise ValueError("is empty; leave it out for the default")
        return symbols

    @model_validator(mode="after")
    def _no_fallback_to_itself(self) -> "Exchange":
        if self.name in self.fallbacks:
            raise ValueError(f"fallbacks name {self.name} itself")
        return self


class LivePortfolio(Section):
    """[[live]]: a portfolio whose orders are real. Nothing goes out unless it is enabled and on no dry run."""

    portfolio: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$", description="its name in commands")
    exchange: Name = Field(description="the exchange, by ccxt's name")
    credentials: str = Field(
        min_length=1,
        description="file, or systemd credential, with the keys as JSON: apiKey, secret, password",
    )
    enabled: bool = Field(default=False, description="whether this portfolio may trade at all")
    dry_run: bool = Field(default=True, description="whether orders are only checked and told of, and not sent")
    max_order_notional: Decimal | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="the most that one order may be worth, in quote currency"
    )
    endpoint: Annotated[str, AfterValidator(checks.rest)] | None = Field(
        default=None, description="base URL of another host for the same REST protocol"
    )


class Config(Section):
    """A whole configuration."""

    version: Annotated[int, AfterValidator(_version)] = Field(
        default=LATEST, description="version of this file's format"
    )
    data_dir: Annotated[Path, BeforeValidator(_not_empty)] = Field(
        default=Path("~/.local/share/marketd"),
        description="embedded servers and spool; under systemd the unit's StateDirectory unless set",
    )
    bus: Bus = Bus()
    store: Store = Store()
    retention: Retention = Retention()
    http: Http = Http()
    log: Log = Log()
    candles: Candles = Candles()
    shutdown: Shutdown = Shutdown()
    exchanges: tuple[Exchange, ...] = (Exchange(name="binance"),)
    live: tuple[LivePortfolio, ...] = ()

    @model_validator(mode="after")
    def _one_block_per_exchange(self) -> "Config":
        try:
            checks.distinct(tuple(exchange.name for exchange in self.exchanges))
        except ValueError as error:
            raise ValueError(f"exchanges: {error}; put its symbols and channels into one [[exchanges]] block") from None
        return self

    @field_validator("live")
    @classmethod
    def _one_block_per_portfolio(cls, live: tuple[LivePortfolio, ...]) -> tuple[LivePortfolio, ...]:
        checks.distinct(tuple(portfolio.portfolio for portfolio in live))
        return live

    def secret_urls(self) -> Iterator[str]:
        """Yield the URLs that may carry a password, for `daemon.redact.register_url`."""
        yield self.bus.url.get_secret_value()
        yield self.store.dsn.get_secret_value()
