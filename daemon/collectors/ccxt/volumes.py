"""What was traded in 24 hours of every symbol, by ccxt's tickers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bus.errors import MalformedFrame, RequestRefused
from daemon.collectors.ccxt.digits import digits
from daemon.collectors.ccxt.rest import CcxtRest


async def volumes(name: str, has: Mapping[str, Any], rest: CcxtRest) -> dict[str, Decimal]:
    """Return volumes in quote currency by symbol. Raises ExchangeUnavailable, RequestRefused, MalformedFrame.

    https://docs.ccxt.com/#/README?id=ticker-structure
    """
    if not has.get("fetchTickers"):
        raise RequestRefused(f"{name} does not tell every symbol's volume; leave select.top out")
    tickers = await rest.call("fetch_tickers")
    found = {}
    for symbol, ticker in tickers.items():
        try:
            found[symbol] = quote_volume(ticker)
        except MalformedFrame:
            continue  # one symbol without a volume that can be read ranks last
    return found


def quote_volume(ticker: Mapping[str, Any]) -> Decimal:
    """Return a ticker's volume in quote currency, 0 where it tells none. Raises MalformedFrame."""
    quote, base, last = (ticker.get(name) for name in ("quoteVolume", "baseVolume", "last"))
    if quote is not None:
        return Decimal(digits(quote))
    return Decimal(digits(base)) * Decimal(digits(last)) if base is not None and last is not None else Decimal(0)
