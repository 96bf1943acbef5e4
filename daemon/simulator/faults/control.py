"""How tests let things go wrong; not part of Binance's API.

POST /control/faults with one fault or a list of them (its answer: `{"ids": [1, …]}`) · GET /control/faults (each with
its `id`, `state` and how often it has `fired`) · DELETE /control/faults[/ID] · POST /control/chaos (random ones)
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from bus.errors import ConfigError, MarketdError
from daemon.explain import explain
from daemon.simulator.faults.board import FaultBoard
from daemon.simulator.faults.chaos import Chaos, plan
from daemon.simulator.faults.specs import AnyFault, read

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FaultControl:
    """The control endpoints of faults; served on loopback with the rest."""

    def __init__(self, board: FaultBoard, symbols: list[str]) -> None:
        self._board = board
        self._symbols = symbols

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/control/faults", self._list),
            web.post("/control/faults", _explained(self._add)),
            web.delete("/control/faults", self._clear),
            web.delete("/control/faults/{number:\\d+}", _explained(self._lift)),
            web.post("/control/chaos", _explained(self._chaos)),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(self._board.list())

    async def _add(self, request: web.Request) -> web.Response:
        value = await _body(request)
        return self._install([read(each) for each in (value if isinstance(value, list) else [value])])

    async def _clear(self, _: web.Request) -> web.Response:
        self._board.clear()
        return web.json_response({})

    async def _lift(self, request: web.Request) -> web.Response:
        self._board.lift(int(request.match_info["number"]))
        return web.json_response({})

    async def _chaos(self, request: web.Request) -> web.Response:
        try:
            chaos = Chaos.model_validate(await _body(request))
        except ValidationError as error:
            raise ConfigError("; ".join(explain(error, Chaos))) from None
        return self._install(plan(chaos, self._symbols))

    def _install(self, faults: list[AnyFault]) -> web.Response:
        for fault in faults:
            self._board.check(fault)
        return web.json_response({"ids": [self._board.add(fault) for fault in faults]})


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.text() or "{}")
    except ValueError as error:
        raise ConfigError(f"the body is no JSON: {error}") from None


def _explained(handler: Handler) -> Handler:
    """Answer bad requests with status 400 and a sentence."""

    async def explained(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except MarketdError as error:
            return web.json_response({"error": str(error)}, status=400)

    return explained
