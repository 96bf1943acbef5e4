"""Binance spot's public REST API over the simulated markets.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from daemon.simulator.bars import NAMES, Bar
from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.faults.board import FaultBoard
from daemon.simulator.faults.http import refuse
from daemon.simulator.market import Market
from daemon.simulator.symbols import Symbol, decimal
from daemon.simulator.weights import PER_MINUTE, Weights

Params = Mapping[str, str]
Answer = Callable[[Params], str]

_SYMBOL: Final = re.compile(r"[A-Z0-9_.-]{1,20}")
LARGEST: Final = 1_000
DEPTHS: Final = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
"""Weight of a depth request by its limit."""


class ApiError(Exception):
    """An error as Binance answers it: https://developers.binance.com/docs/binance-spot-api-docs/errors."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RestApi:
    """The endpoints; each is a method from parameters to a JSON text."""

    def __init__(self, exchange: SimulatedExchange, weights: Weights, faults: FaultBoard) -> None:
        self._exchange = exchange
        self._faults = faults
        self._weights = weights
        self._endpoints: dict[str, tuple[Callable[[Params], int], Answer]] = {
            "ping": (_weight(1), lambda _: "{}"),
            "time": (_weight(1), lambda _: f'{{"serverTime":{exchange.now}}}'),
            "exchangeInfo": (_weight(20), self._exchange_info),
            "depth": (_depth_weight, self._depth),
            "trades": (_weight(25), self._trades),
            "historicalTrades": (_weight(25), self._historical_trades),
            "aggTrades": (_weight(4), self._agg_trades),
            "klines": (_weight(2), self._klines),
            "uiKlines": (_weight(2), self._klines),
            "avgPrice": (_weight(2), self._average_price),
            "ticker/24hr": (_ticker_weight(2, 80), self._day),
            "ticker/price": (_ticker_weight(2, 4), self._price),
            "ticker/bookTicker": (_ticker_weight(2, 4), self._book_ticker),
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this API."""
        return [web.get("/api/v3/{path:.*}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        entry = self._endpoints.get(request.match_info["path"].rstrip("/"))
        if entry is None:
            return web.Response(status=404, text="<html><body><h2>404 Not found</h2></body></html>")
        if (fault := self._faults.answer(request.path)) is not None and (refusal := await refuse(fault)):
            return refusal
        weight, answer = entry
        verdict = self._weights.charge(request.remote or "", weight(request.query))
        headers = {"x-mbx-used-weight": str(verdict.used), "x-mbx-used-weight-1m": str(verdict.used)}
        if verdict.status != 200:  # noqa: PLR2004 # HTTP
            headers["Retry-After"] = str(verdict.retry_after)
            text = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."
            if verdict.status == 418:  # noqa: PLR2004 # HTTP
                text = f"Way too much request weight used; IP banned for {verdict.retry_after} s."
            return _json(json.dumps({"code": -1003, "msg": text}), verdict.status, headers)
        try:
            return _json(answer(request.query), 200, headers)
        except ApiError as error:
            return _json(json.dumps({"code": error.code, "msg": error.message}), 400, headers)

    # parameters

    def _market(self, params: Params) -> Market:
        name = params.get("symbol")
        if name is None:
            raise ApiError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        return self._named(name)

    def _named(self, name: str) -> Market:
        if not _SYMBOL.fullmatch(name):
            raise ApiError(
                -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."
            )
        market = self._exchange.markets.get(name)
        if market is None:
            raise ApiError(-1121, "Invalid symbol.")
        return market

    def _markets(self, params: Params) -> tuple[list[Market], bool]:
        """Return the markets that `symbol` or `symbols` names, all without either; and whether one was named."""
        if "symbol" in params and "symbols" in params:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if "symbol" in params:
            return [self._market(params)], True
        if "symbols" not in params:
            return list(self._exchange.markets.values()), False
        try:
            names = json.loads(params["symbols"])
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.")
        return [self._named(name) for name in names], False

    # endpoints

    def _exchange_info(self, params: Params) -> str:
        markets, _ = self._markets(params)
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": PER_MINUTE}
        info = {
            "timezone": "UTC",
            "serverTime": self._exchange.now,
            "rateLimits": [limit],
            "exchangeFilters": [],
            "symbols": [symbol_info(market.symbol, "BREAK" if market.halted else "TRADING") for market in markets],
        }
        return json.dumps(info)

    def _depth(self, params: Params) -> str:
        market = self._market(params)
        return market.snapshot(min(_number(params, "limit", 100), 5_000))

    def _trades(self, params: Params) -> str:
        market, limit = self._market(params), _limit(params, 500)
        return _trade_rows(market, market.trades.next - limit, limit)

    def _historical_trades(self, params: Params) -> str:
        market, limit = self._market(params), _limit(params, 500)
        return _trade_rows(market, _number(params, "fromId", market.trades.next - limit), limit)

    def _agg_trades(self, params: Params) -> str:
        market, limit, log = self._market(params), _limit(params, 500), None
        log = market.trades
        if "fromId" in params and ("startTime" in params or "endTime" in params):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        start, end = log.next_aggregate - limit, log.next_aggregate
        if "fromId" in params:
            start = _number(params, "fromId", 0)
        elif "startTime" in params:
            start = log.aggregate_at_time(_number(params, "startTime", 0))
        if "endTime" in params:
            end = log.aggregate_at_time(_number(params, "endTime", 0) + 1)
            if "startTime" not in params:
                start = end - limit
        start = max(start, log.first_aggregate)
        numbers = range(start, min(start + limit, end))
        rows = [row for row in map(log.get_aggregate, numbers) if log.has(row)]
        return (
            "["
            + ",".join(
                f'{{"a":{a.id},"p":"{market.price(a.price)}","q":"{market.amount(a.lots)}","f":{a.first},"l":{a.last},'
                f'"T":{a.time},"m":{"true" if a.maker_bought else "false"},"M":true}}'
                for a in rows
            )
            + "]"
        )

    def _klines(self, params: Params) -> str:
        market, limit = self._market(params), _limit(params, 500)
        interval = params.get("interval")
        if interval is None:
            raise ApiError(-1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
        if interval not in NAMES:
            raise ApiError(-1120, "Invalid interval.")
        market.candles.settle()
        bars: list[Bar] = market.candles.bars(interval)
        start, end = _number(params, "startTime", 0), _number(params, "endTime", 1 << 62)
        first = bisect_left(bars, start, key=lambda bar: bar.start)
        fitting = bars[first : bisect_right(bars, min(end, self._exchange.now), key=lambda bar: bar.start)]
        chosen = fitting[:limit] if "startTime" in params else fitting[-limit:]
        return "[" + ",".join(map(market.kline_row, chosen)) + "]"

    def _average_price(self, params: Params) -> str:
        market = self._market(params)
        market.candles.settle()
        bars = market.candles.bars("1m")[-5:]
        lots, value = sum(bar.lots for bar in bars), sum(bar.value for bar in bars)
        price = value * market.symbol.tick // lots if lots else bars[-1].close * market.symbol.tick
        return f'{{"mins":5,"price":"{decimal(price)}","closeTime":{self._exchange.now}}}'

    def _day(self, params: Params) -> str:
        mini = params.get("type", "FULL") == "MINI"
        return self._each(params, lambda market: self._day_row(market, mini=mini))

    def _day_row(self, market: Market, *, mini: bool) -> str:
        day, now = market.day(), self._exchange.now
        change, percent, average = market.change(day)
        bid, bid_lots, ask, ask_lots = market.best()
        common = (
            f'"openPrice":"{market.price(day.open)}","highPrice":"{market.price(day.high)}",'
            f'"lowPrice":"{market.price(day.low)}","lastPrice":"{market.price(day.close)}",'
            f'"volume":"{market.amount(day.lots)}","quoteVolume":"{market.value(day.value)}","openTime":{day.start},'
            f'"closeTime":{now},"firstId":{day.first},"lastId":{day.last},"count":{day.count}}}'
        )
        if mini:
            return f'{{"symbol":"{market.name}",{common}'
        log = market.trades
        last = log.get(log.next - 1).lots if log.next > log.first else 0
        return (
            f'{{"symbol":"{market.name}","priceChange":"{change}","priceChangePercent":"{percent}",'
            f'"weightedAvgPrice":"{average}","prevClosePrice":"{market.price(day.open)}",'
            f'"lastQty":"{market.amount(last)}","bidPrice":"{market.price(bid)}","bidQty":"{market.amount(bid_lots)}",'
            f'"askPrice":"{market.price(ask)}","askQty":"{market.amount(ask_lots)}",{common}'
        )

    def _price(self, params: Params) -> str:
        def row(market: Market) -> str:
            return f'{{"symbol":"{market.name}","price":"{market.price(market.day().close)}"}}'

        return self._each(params, row)

    def _book_ticker(self, params: Params) -> str:
        def row(market: Market) -> str:
            bid, bid_lots, ask, ask_lots = market.best()
            return (
                f'{{"symbol":"{market.name}","bidPrice":"{market.price(bid)}","bidQty":"{market.amount(bid_lots)}",'
                f'"askPrice":"{market.price(ask)}","askQty":"{market.amount(ask_lots)}"}}'
            )

        return self._each(params, row)

    def _each(self, params: Params, row: Callable[[Market], str]) -> str:
        markets, single = self._markets(params)
        return row(markets[0]) if single else "[" + ",".join(map(row, markets)) + "]"


def symbol_info(symbol: Symbol, status: str) -> dict[str, Any]:
    """Return what exchangeInfo says of a symbol."""
    lot, tick = decimal(symbol.lot), decimal(symbol.tick)
    return {
        "symbol": symbol.name,
        "status": status,
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000.00000000", "stepSize": lot},
            {
                "filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True,
                "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }  # fmt: skip


def _trade_rows(market: Market, start: int, limit: int) -> str:
    return (
        "["
        + ",".join(
            f'{{"id":{t.id},"price":"{market.price(t.price)}","qty":"{market.amount(t.lots)}",'
            f'"quoteQty":"{market.value(t.price * t.lots)}","time":{t.time},'
            f'"isBuyerMaker":{"true" if t.maker_bought else "false"},"isBestMatch":true}}'
            for t in market.trades.range(start, limit)
            if market.trades.has(t)
        )
        + "]"
    )


def _number(params: Params, name: str, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,20}", text):
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _limit(params: Params, default: int) -> int:
    limit = _number(params, "limit", default)
    if limit < 1:
        raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, LARGEST)


def _weight(weight: int) -> Callable[[Params], int]:
    return lambda _: weight


def _ticker_weight(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if "symbol" in params else every


def _depth_weight(params: Params) -> int:
    text = params.get("limit", "100")
    limit = int(text) if text.isdecimal() else 0
    return next((weight for largest, weight in DEPTHS if limit <= largest), DEPTHS[-1][1])


def _json(text: str, status: int, headers: Mapping[str, str]) -> web.Response:
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
