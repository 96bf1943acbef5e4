"""Real orders: refused unless a portfolio is enabled for them, and only told of as long as it is on a dry run."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import structlog

from bus.clock import Clock
from bus.errors import MarketdError
from bus.handler import StateStore
from daemon.config.model import LivePortfolio
from daemon.control.request import Rejected
from daemon.trading.account import Account, Unanswered
from daemon.trading.service import Result

log = structlog.get_logger(__name__)

STATE: Final = "live"
"""Under which name the bus remembers which portfolios are halted."""
RECONNECT: Final = 10.0
_TYPES: Final = ("market", "limit")


class LiveService:
    """See `TradingService`: one portfolio's orders on one exchange account."""

    def __init__(self, settings: LivePortfolio, account: Account, state: StateStore, clock: Clock) -> None:
        self._settings = settings
        self._account = account
        self._state = state
        self._clock = clock

    async def run(self) -> None:
        """Keep the account open until cancelled."""
        if not self._settings.enabled:
            return
        try:
            while True:
                try:
                    await self._account.open()
                    break
                except MarketdError as error:
                    log.warning("live trading is not connected yet", reason=str(error))
                    await self._clock.sleep(RECONNECT)
            log.warning("live trading is open", portfolio=self._settings.portfolio, dry_run=self._settings.dry_run)
            await asyncio.get_running_loop().create_future()
        finally:
            await self._account.close()

    def described(self) -> Result:
        """Return what `portfolio.list` says."""
        state = "dry run" if self._settings.dry_run else "open"
        return {
            "portfolio": self._settings.portfolio, "state": state if self._settings.enabled else "not enabled",
            "mode": "live", "exchange": self._settings.exchange,
        }  # fmt: skip

    async def open_orders(self, portfolio: str, symbol: str, limit: int) -> list[Result]:  # noqa: ARG002 # it has one
        """See `TradingService.open_orders`."""
        self._permit()
        orders = sorted(
            await self._account.open_orders(symbol or None), key=lambda o: o["timestamp"] or 0, reverse=True
        )
        return [
            {
                "id": order["clientOrderId"] or order["id"], "symbol": order["symbol"], "side": order["side"],
                "type": order["type"], "quantity": str(order["amount"]), "filled": str(order["filled"]),
                "price": str(order["price"]), "status": order["status"],
            }
            for order in orders[:limit]
        ]  # fmt: skip

    async def balances(self, portfolio: str) -> list[Result]:  # noqa: ARG002 # it has one
        """See `TradingService.balances`."""
        self._permit()
        return await self._account.balances()

    async def submit(self, portfolio: str, order: Mapping[str, Any]) -> Result:
        """See `TradingService.submit`; market and limit orders."""
        self._permit()
        await self._check(portfolio, order)
        symbol, side, kind = order["symbol"], order["side"], order["order_type"]
        quantity, price = order["quantity"], order.get("price")
        what = f"{side} {quantity} {symbol} {kind}{f' at {price}' if price else ''}"
        order_id = order["id"] or f"m{uuid4().hex[:24]}"
        if self._settings.dry_run:
            return {"text": f"dry run, nothing sent: {what}", "portfolio": portfolio, "id": order_id, "dry_run": True}
        params: dict[str, Any] = {"clientOrderId": order_id}
        if order.get("post_only"):
            params["postOnly"] = True
        if kind == "limit" and order.get("time_in_force", "GTC") != "GTC":
            params["timeInForce"] = order["time_in_force"]
        log.warning("real order", portfolio=portfolio, order=what, id=order_id)
        try:
            placed: Mapping[str, Any] | None = await self._account.place(symbol, kind, side, quantity, price, params)
        except Unanswered as error:
            placed = await self._look_for(symbol, order_id, error)
        return {"text": f"{what}: {_state(placed)} (order {order_id})", "portfolio": portfolio, "id": order_id}

    async def amend(self, portfolio: str, order_id: str, change: Mapping[str, str]) -> Result:  # noqa: ARG002 # as said
        """Not offered: exchanges differ in what becomes of the order's fills and place."""
        raise Rejected("not_supported", f"{portfolio} is live: cancel {order_id} and place another order")

    async def cancel(self, portfolio: str, order_id: str) -> Result:
        """See `TradingService.cancel`; the id is ours or the exchange's."""
        self._permit()
        found = [o for o in await self._account.open_orders() if order_id in (o["clientOrderId"], o["id"])]
        if not found:
            raise Rejected("UNKNOWN_ORDER", f"no open order has the id {order_id}")
        return await self._cancel(portfolio, found)

    async def cancel_all(self, portfolio: str, exchange: str, symbol: str) -> Result:
        """See `TradingService.cancel_all`."""
        self._permit()
        if exchange not in ("", self._settings.exchange):
            raise Rejected("bad_arguments", f"{portfolio} trades on {self._settings.exchange}")
        return await self._cancel(portfolio, await self._account.open_orders(symbol or None))

    async def halt(self, portfolio: str, *, flatten: bool) -> Result:
        """See `TradingService.halt`; first of all nothing new is accepted any more. Holdings are not sold."""
        await self._state.save(STATE, {portfolio: b"by command"})
        canceled = (await self.cancel_all(portfolio, "", ""))["text"] if self._settings.enabled else "nothing to cancel"
        kept = ", what is held is not sold" if flatten else ""
        return {"text": f"trading is halted in {portfolio}: {canceled}{kept}", "portfolios": [portfolio]}

    async def resume(self, portfolio: str) -> Result:
        """See `TradingService.resume`."""
        await self._state.save(STATE, {portfolio: b""})
        return {"text": f"trading resumes in {portfolio}", "portfolios": [portfolio]}

    def _permit(self) -> None:
        if not self._settings.enabled:
            raise Rejected(
                "not_enabled", f"{self._settings.portfolio} is for real orders and not enabled: see live[].enabled"
            )

    async def _check(self, portfolio: str, order: Mapping[str, Any]) -> None:
        """Refuse what is not wanted or would not go out exactly as it was asked for. Raises Rejected."""
        if (await self._state.load(STATE)).get(portfolio):
            raise Rejected("KILL_SWITCH", "trading is halted: by command")
        if order.get("exchange") not in ("", self._settings.exchange):
            raise Rejected("bad_arguments", f"{portfolio} trades on {self._settings.exchange}")
        asked = {name for name, value in order.items() if value not in (None, False, "")}
        beyond = asked - {
            "id", "exchange", "symbol", "side", "order_type", "quantity", "price", "time_in_force", "post_only",
        }  # fmt: skip
        if order["order_type"] not in _TYPES or beyond:
            what = ", ".join(sorted(beyond)) or order["order_type"]
            raise Rejected("not_supported", f"live portfolios take market and limit orders by quantity, without {what}")
        if order["order_type"] == "limit" and not order.get("price"):
            raise Rejected("PRICE_FILTER", "this order needs a price")
        self._account.check(order["symbol"], order["quantity"], order.get("price"))
        limit = self._settings.max_order_notional
        if limit is not None:
            price = Decimal(order["price"]) if order.get("price") else await self._account.price(order["symbol"])
            if price * Decimal(order["quantity"]) > limit:
                raise Rejected("RISK_LIMIT", "the order is worth more than max_order_notional")

    async def _look_for(self, symbol: str, order_id: str, error: Unanswered) -> Mapping[str, Any]:
        """Find out what became of an order that was sent without an answer. Raises MarketdError."""
        try:
            found = await self._account.find(symbol, order_id)
        except (Unanswered, Rejected):
            raise MarketdError(
                f"{error}; whether order {order_id} stands is not known: look before you repeat it"
            ) from None
        if found is None:
            raise MarketdError(f"{error}; order {order_id} does not stand there")
        return found

    async def _cancel(self, portfolio: str, orders: list[Mapping[str, Any]]) -> Result:
        ids = [order["clientOrderId"] or order["id"] for order in orders]
        if self._settings.dry_run:
            text = f"dry run, nothing sent: cancel {', '.join(ids) or 'nothing'}"
            return {"text": text, "portfolio": portfolio, "ids": ids, "dry_run": True}
        for order in orders:
            await self._account.cancel(order)
        return {"text": f"{len(ids)} orders canceled", "portfolio": portfolio, "ids": ids}


def _state(order: Mapping[str, Any] | None) -> str:
    status = (order or {}).get("status") or "sent"
    filled = (order or {}).get("filled")
    return f"{status}, {filled} filled" if filled else str(status)
