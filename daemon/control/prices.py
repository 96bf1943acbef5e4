"""The command prices.latest: the newest price of each symbol and its last 24 hours, from memory."""

from collections.abc import Iterable

import msgspec
from pydantic import Field, JsonValue

from bus.clock import Clock
from bus.errors import UsageError
from daemon.config.model import Symbol
from daemon.control.collectors import Collectors
from daemon.control.command import Arguments, Command
from daemon.nearest import did_you_mean
from daemon.prices import LatestPrices
from daemon.prices.memory import Key


class Prices(Arguments):
    """Arguments of prices.latest: which symbols, of which exchange; all when left out."""

    symbols: tuple[Symbol, ...] = Field(default=(), max_length=1_000, description="unified symbols, like BTC/USDT")
    exchange: str | None = Field(default=None, description="only of this exchange")


def prices_latest(prices: LatestPrices, collectors: Collectors, clock: Clock) -> Command[Prices]:
    """Make `prices.latest`: a symbol that is collected and has no price yet is answered without one."""

    async def run(arguments: Prices) -> JsonValue:
        known = sorted({*prices, *((name, f.symbol) for name, one in collectors.items() for f in one.feeds)})
        quotes: JsonValue = msgspec.to_builtins(prices.quotes(_meant(arguments, known), clock.now()))
        return quotes

    return Command("prices.latest", Prices, run)


def _meant(arguments: Prices, known: list[Key]) -> Iterable[Key]:
    """Return what arguments mean. Raises UsageError that names the first unknown exchange or symbol."""
    exchanges = {exchange for exchange, _ in known}
    if arguments.exchange is not None and arguments.exchange not in exchanges:
        guess = did_you_mean(arguments.exchange, exchanges)
        raise UsageError(f"exchange = {arguments.exchange}: no price is known from there{guess}")
    of = [key for key in known if arguments.exchange in (None, key[0])]
    symbols = {symbol for _, symbol in of}
    for symbol in arguments.symbols:
        if symbol not in symbols:
            raise UsageError(f"symbols = {symbol}: no price is known of it{did_you_mean(symbol, symbols)}")
    wanted = frozenset(arguments.symbols)
    return of if not wanted else [key for key in of if key[1] in wanted]
