"""What tests ask of the simulated exchange; not part of Binance's API.

GET /control/state · GET /control/log?symbol=BTCUSDT&from_id=N&limit=N (the truth: `[[id, "price", "amount", time,
maker_bought], …]`) · POST /control/rate?value=N · POST /control/pause · POST /control/resume · POST /control/disconnect
"""

import json

from aiohttp import web

from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.websocket import WebSocketApi

LONGEST = 1_000_000


class Control:
    """The control endpoint; it is served on loopback with the rest."""

    def __init__(self, exchange: SimulatedExchange, websocket: WebSocketApi) -> None:
        self._exchange = exchange
        self._websocket = websocket

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/control/state", self._state),
            web.get("/control/log", self._log),
            web.post("/control/rate", self._rate),
            web.post("/control/pause", self._pause),
            web.post("/control/resume", self._resume),
            web.post("/control/disconnect", self._disconnect),
        ]

    async def _state(self, _: web.Request) -> web.Response:
        exchange = self._exchange
        return web.json_response(
            {
                "now": exchange.now,
                "events": exchange.events,
                "rate": exchange.rate,
                "seed": exchange.seed,
                "paused": exchange.paused,
                "behind_seconds": exchange.behind,
                "clients": len(exchange.streams.clients),
                "sent": {stream.name.decode(): stream.sent for stream in exchange.streams if stream.sent},
                "symbols": {
                    name: {"first_trade_id": market.trades.first, "next_trade_id": market.trades.next}
                    for name, market in exchange.markets.items()
                },
            }
        )

    async def _log(self, request: web.Request) -> web.Response:
        market = self._exchange.markets.get(request.query.get("symbol", ""))
        if market is None:
            raise web.HTTPNotFound(text="unknown symbol")
        start = int(request.query.get("from_id", market.trades.first))
        rows = [
            [t.id, market.price(t.price), market.amount(t.lots), t.time, t.maker_bought]
            for t in market.trades.range(start, int(request.query.get("limit", LONGEST)))
        ]
        return web.Response(text=json.dumps(rows), content_type="application/json")

    async def _rate(self, request: web.Request) -> web.Response:
        self._exchange.rate = max(1, int(request.query["value"]))
        return web.json_response(self._exchange.rate)

    async def _pause(self, _: web.Request) -> web.Response:
        self._exchange.paused = True
        return web.json_response(data=True)

    async def _resume(self, _: web.Request) -> web.Response:
        self._exchange.paused = False
        return web.json_response(data=True)

    async def _disconnect(self, _: web.Request) -> web.Response:
        return web.json_response(await self._websocket.disconnect_all())
