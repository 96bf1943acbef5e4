"""One account on an exchange, over ccxt. What goes out are the decimal strings that were asked for."""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from bus.errors import ConfigError, MarketdError
from daemon.control.request import Rejected
from daemon.trading.keys import Keys

DEADLINE: Final = 8.0
"""Seconds for one request."""
OPEN_DEADLINE: Final = 30.0


class Unanswered(MarketdError):
    """A request went out and nobody knows what became of it."""


class Account:
    """A signed connection. Use `open` before anything else, and `close` at the end.

    Every request raises Rejected for what the exchange refuses and Unanswered where it does not answer in time. What
    ccxt says of a connection is not repeated: it may hold a signed URL.
    """

    def __init__(self, exchange: str, keys: Keys, endpoint: str | None) -> None:
        self._name = exchange
        self._keys = keys
        self._endpoint = endpoint
        self._ccxt: Any = None

    async def open(self) -> None:
        """Connect and load the symbols. Raises ConfigError for an exchange that ccxt does not know, MarketdError."""
        import ccxt.async_support as ccxt  # noqa: PLC0415 # takes a second that only live trading needs

        if self._name not in ccxt.exchanges:
            raise ConfigError(f"live.exchange: ccxt knows no exchange {self._name}")
        options = {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            # what needs more permissions than trading is not asked for
            "fetchCurrencies": False,
            "fetchMargins": False,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
        }
        client = getattr(ccxt, self._name)(
            {**self._keys.plain(), "enableRateLimit": True, "timeout": round(DEADLINE * 1000), "options": options}
        )
        if self._endpoint:
            client.urls["api"] = _elsewhere(client.urls["api"], self._endpoint)
        self._ccxt = client
        try:
            async with asyncio.timeout(OPEN_DEADLINE):
                await client.load_markets()
        except (ccxt.BaseError, OSError, TimeoutError) as error:
            await self.close()
            raise MarketdError(f"{self._name} cannot be reached for live trading: {type(error).__name__}") from None

    async def close(self) -> None:
        """Let go of the connection."""
        client, self._ccxt = self._ccxt, None
        if client is not None:
            await client.close()

    def check(self, symbol: str, quantity: str, price: str | None) -> None:
        """Refuse what the symbol's filters would make the exchange round or refuse. Raises Rejected."""
        client = self._client()
        if symbol not in client.markets:
            raise Rejected("UNKNOWN_SYMBOL", f"{symbol} is not traded on {self._name}")
        if not _fits(client.amount_to_precision, symbol, quantity):
            raise Rejected("LOT_SIZE", f"{self._name} takes no quantity of {quantity} {symbol}")
        if price is not None and not _fits(client.price_to_precision, symbol, price):
            raise Rejected("PRICE_FILTER", f"{self._name} takes no price of {price} for {symbol}")

    async def price(self, symbol: str) -> Decimal:
        """Return the last price of a symbol."""
        ticker = await self._request("fetch_ticker", symbol)
        return Decimal(str(ticker["last"]))

    async def place(
        self, symbol: str, kind: str, side: str, quantity: str, price: str | None, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Place an order."""
        found: Mapping[str, Any] = await self._request("create_order", symbol, kind, side, quantity, price, params)
        return found

    async def find(self, symbol: str, client_id: str) -> Mapping[str, Any] | None:
        """Return an order by the id that we gave it, None where the exchange has none."""
        every = self._client().has.get("fetchOrders")
        for method in ("fetch_orders",) if every else ("fetch_open_orders", "fetch_closed_orders"):
            for order in await self._request(method, symbol):
                if order["clientOrderId"] == client_id:
                    return dict(order)
        return None

    async def open_orders(self, symbol: str | None = None) -> list[Mapping[str, Any]]:
        """Return the open orders, of one symbol or all."""
        return list(await self._request("fetch_open_orders", symbol))

    async def cancel(self, order: Mapping[str, Any]) -> None:
        """Cancel an order."""
        await self._request("cancel_order", order["id"], order["symbol"])

    async def balances(self) -> list[dict[str, str]]:
        """Return what the account owns of each asset, as far as it owns any."""
        found = await self._request("fetch_balance")
        return [
            {
                "asset": asset,
                "total": str(total),
                "locked": str(found["used"].get(asset)),
                "free": str(found["free"].get(asset)),
            }
            for asset, total in sorted(found["total"].items())
            if total
        ]

    def _client(self) -> Any:
        if self._ccxt is None:
            raise MarketdError(f"{self._name} is not connected for live trading yet")
        return self._ccxt

    async def _request(self, method: str, *args: Any) -> Any:
        import ccxt.async_support as ccxt  # noqa: PLC0415 # loaded already by `open`

        try:
            async with asyncio.timeout(DEADLINE):
                return await getattr(self._client(), method)(*args)
        except (ccxt.NetworkError, OSError, TimeoutError) as error:
            raise Unanswered(f"{self._name} gave no answer: {type(error).__name__}") from None
        except ccxt.InsufficientFunds:
            raise Rejected("INSUFFICIENT_BALANCE", f"{self._name}: the account has not enough") from None
        except ccxt.OrderNotFound:
            raise Rejected("UNKNOWN_ORDER", f"{self._name} knows no such order") from None
        except ccxt.AuthenticationError:
            raise Rejected("not_permitted", f"{self._name} does not accept the keys for this") from None
        except ccxt.BaseError as error:
            raise Rejected("REFUSED", f"{self._name} refuses: {str(error)[:300]}") from None


def _fits(rounded: Callable[[str, str], str], symbol: str, text: str) -> bool:
    """Whether ccxt would send a number as it is."""
    from ccxt.async_support import InvalidOrder  # noqa: PLC0415 # loaded already by `open`

    try:
        return Decimal(rounded(symbol, text)) == Decimal(text)
    except InvalidOrder:  # smaller than the smallest step
        return False


def _elsewhere(urls: Any, endpoint: str) -> Any:
    """Return ccxt's URLs with another host in front of the same paths."""
    if isinstance(urls, dict):
        return {name: _elsewhere(url, endpoint) for name, url in urls.items()}
    base, path = urlsplit(endpoint), urlsplit(urls).path
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + path, "", ""))
