"""A stand-in for Binance spot's private REST API, over a real socket: it checks signatures and keeps orders.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security
"""

import asyncio
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.test_utils import TestServer

KEY, SECRET = "the-key", "the-secret"


class PrivateApi:
    """What the exchange knows. `fate` of the next order: its answer is "lost", it "never" arrives, or is too "poor"."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.fate = ""
        self.server: TestServer
        self.app = web.Application()
        self.app.router.add_route("*", "/api/v3/{name:.+}", self.answer)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        body = (await request.read()).decode()
        self.requests.append(f"{request.method} {name}")
        if name == "exchangeInfo":
            return web.json_response(_INFO)
        if name == "ticker/24hr":
            return web.json_response({"symbol": "BTCUSDT", "lastPrice": "50000.00", "closeTime": 1})
        query = request.query_string + body
        signed, _, signature = query.rpartition("&signature=")
        expected = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if request.headers.get("X-MBX-APIKEY") != KEY or signature != expected:
            return web.json_response(
                {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, status=401
            )
        return await self.private(request, f"{request.method} {name}", dict(parse_qsl(signed)))

    async def private(self, request: web.Request, what: str, args: dict[str, str]) -> web.StreamResponse:  # noqa: PLR0911 # one a request
        if what == "POST order":
            fate, self.fate = self.fate, ""
            if fate == "poor":
                return web.json_response(
                    {"code": -2010, "msg": "Account has insufficient balance for requested action."}, status=400
                )
            if fate != "never":
                self.orders.append(args | {"status": "NEW"})
            if fate in {"lost", "never"}:
                assert request.transport is not None
                request.transport.abort()
                await asyncio.sleep(0)
            return web.json_response(_order(self.orders[-1], len(self.orders)) if self.orders else {})
        numbered = list(enumerate(self.orders, 1))
        if what == "GET openOrders":
            return web.json_response([_order(order, at) for at, order in numbered if order["status"] == "NEW"])
        if what == "GET allOrders":
            return web.json_response([_order(order, at) for at, order in numbered])
        if what == "DELETE order":
            order = self.orders[int(args["orderId"]) - 1]
            order["status"] = "CANCELED"
            return web.json_response(_order(order, int(args["orderId"])))
        if what == "GET account":
            return web.json_response({"balances": [{"asset": "USDT", "free": "10.5", "locked": "1"}], "updateTime": 1})
        return web.json_response({"code": -1, "msg": what}, status=400)


def _order(order: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "symbol": order["symbol"], "orderId": number, "clientOrderId": order["newClientOrderId"],
        "price": order.get("price", "0"), "origQty": order["quantity"], "executedQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000", "status": order["status"], "type": order["type"], "side": order["side"],
        "timeInForce": order.get("timeInForce", "GTC"), "transactTime": number, "time": number, "updateTime": number,
    }  # fmt: skip


_INFO = {
    "timezone": "UTC", "serverTime": 1, "rateLimits": [], "exchangeFilters": [],
    "symbols": [
        {
            "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8,
            "quoteAsset": "USDT", "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8, "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
            "permissions": ["SPOT"], "permissionSets": [["SPOT"]],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01000000"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001000"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
            ],
        }
    ],
}  # fmt: skip
