"""One exchange's symbols through ccxt: loaded at the start and asked for again like those of a native exchange."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Final, Literal

import msgspec
import structlog

from bus.clock import Clock
from bus.errors import MalformedFrame, MarketdError
from daemon.collectors.ccxt.digits import digits
from daemon.collectors.listing import INTERVAL, LOOK, SOONEST
from daemon.exchanges.base import Instrument

log = structlog.get_logger(__name__)

_DECIMAL_PLACES: Final = 2
_TICK_SIZE: Final = 4
"""ccxt's ways to state a precision: https://docs.ccxt.com/#/README?id=precision-mode"""


class CcxtListing:
    """The one owner of the list of symbols. `ask` gives ccxt's markets and precision mode, or raises our errors."""

    def __init__(
        self, exchange: str, ask: Callable[[], Awaitable[tuple[Mapping[str, Any], int]]], clock: Clock, random: Random
    ) -> None:
        self._exchange = exchange
        self._ask = ask
        self._clock = clock
        self._random = random
        self._doubted = False
        self._last = clock.monotonic()
        self.trouble = ""
        """Why the last attempt failed, "" when it did not."""
        self.loads = 0
        """How often the list has been loaded."""
        self.instruments: Mapping[str, Instrument] = {}
        """The symbols, empty until they are loaded; one that is listed no more is not active."""

    def doubt(self) -> None:
        """Say that a feed was refused or fell silent: its symbol may be listed no more."""
        self._doubted = True

    async def load(self) -> str:
        """Ask for the list; return why it is not there, "" when it is."""
        self.trouble = await self._load()
        return self.trouble

    async def _load(self) -> str:
        self._last = self._clock.monotonic()
        try:
            markets, mode = await self._ask()
        except MarketdError as error:
            return str(error)
        found = {}
        for market in markets.values():
            try:
                instrument = instrument_of(self._exchange, market, mode)
            except (MalformedFrame, KeyError, TypeError) as error:
                log.warning("a market that cannot be read", exchange=self._exchange, reason=repr(error))
                continue
            if instrument is not None:
                found[instrument.symbol] = instrument
        if not found:
            return "the answer names no symbol"
        gone = {
            symbol: msgspec.structs.replace(instrument, active=False)
            for symbol, instrument in self.instruments.items()
            if symbol not in found
        }
        self.instruments = gone | found
        self.loads += 1
        return ""

    async def next_load(self) -> None:
        """Wait until it is time to look again, and do."""
        interval = INTERVAL * self._random.uniform(0.9, 1.1)
        while self._clock.monotonic() - self._last < (SOONEST if self._doubted else interval):
            await self._clock.sleep(LOOK)
        self._doubted = False
        if reason := await self.load():
            log.warning("symbol list not refreshed", exchange=self._exchange, reason=reason)


def instrument_of(exchange: str, market: Mapping[str, Any], precision_mode: int) -> Instrument | None:
    """Return the instrument of one of ccxt's markets, None for options and the like. Raises MalformedFrame.

    https://docs.ccxt.com/#/README?id=market-structure
    """
    kind = _kind(market)
    if kind is None or not market.get("base") or not market.get("quote"):
        return None
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    return Instrument(
        exchange, market["symbol"], str(market["id"]), market["base"], market["quote"], kind,
        active=market.get("active") is not False,
        tick_size=_step(precision.get("price"), precision_mode),
        lot_size=_step(precision.get("amount"), precision_mode),
        min_amount=_some((limits.get("amount") or {}).get("min")),
        min_notional=_some((limits.get("cost") or {}).get("min")),
        contract_size=None if kind == "spot" else _some(market.get("contractSize")),
    )  # fmt: skip


def _kind(market: Mapping[str, Any]) -> Literal["spot", "linear", "inverse", "future"] | None:
    if market.get("spot"):
        return "spot"
    if market.get("future"):
        return "future"
    if market.get("swap"):
        return "inverse" if market.get("inverse") else "linear"
    return None


def _some(value: Any) -> str | None:
    """Return a number, None for one that stands for no limit."""
    if value is None:
        return None
    text = digits(value)
    return text if text.strip("0.") else None


def _step(value: Any, precision_mode: int) -> str | None:
    """Return the smallest step of a price or amount, None where ccxt counts significant digits instead."""
    if value is None:
        return None
    if precision_mode == _TICK_SIZE:
        return _some(value)
    if precision_mode == _DECIMAL_PLACES:
        places = int(float(value))
        return f"0.{'0' * (places - 1)}1" if places > 0 else "1" + "0" * -places
    return None
