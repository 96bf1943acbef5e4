"""What was traded in 24 hours: each exchange's own words become quote currency by unified symbol."""

import json
from decimal import Decimal

import bybit_payloads
import coinbase_payloads
import kraken_payloads
import okx_payloads
import pytest

from bus.errors import MalformedFrame
from daemon.exchanges.binance import Binance
from daemon.exchanges.binanceusdm import BinanceUsdm
from daemon.exchanges.bybit import Bybit
from daemon.exchanges.coinbase import Coinbase
from daemon.exchanges.kraken import Kraken
from daemon.exchanges.okx import Okx

INFO = {
    "symbols": [
        {"symbol": "BNBBTC", "status": "TRADING", "baseAsset": "BNB", "quoteAsset": "BTC", "filters": []},
    ]
}


def answered(exchange, bodies) -> dict:
    requests = exchange.volumes_requests()
    assert len(requests) == len(bodies)
    found = {}
    for request, body in zip(requests, bodies, strict=True):
        found |= exchange.volumes(request, body)
    return found


def test_binance():
    binance = Binance()
    binance.answer(binance.instruments_requests()[0], json.dumps(INFO), 1)
    rows = [
        {"symbol": "BNBBTC", "priceChange": "-94.99999800", "volume": "8913.30000000", "quoteVolume": "15.30000000"},
        {"symbol": "NOTOURS", "volume": "1", "quoteVolume": "2"},
    ]
    (request,) = binance.volumes_requests()
    assert (request.path, request.weight) == ("/api/v3/ticker/24hr", 80)
    assert answered(binance, [json.dumps(rows)]) == {"BNB/BTC": Decimal("15.3")}
    (request,) = BinanceUsdm().volumes_requests()
    assert (request.path, request.weight) == ("/fapi/v1/ticker/24hr", 40)


def test_okx_tells_contracts_in_base_currency():
    def row(kind, native, last="20000", volume="3"):
        return {"instType": kind, "instId": native, "last": last, "volCcy24h": volume, "vol24h": "7", "ts": "1"}

    spot = [row("SPOT", "BTC-USDT", volume="50000.5"), row("SPOT", "NOT-OURS")]
    swaps = [row("SWAP", "BTC-USDT-SWAP"), row("SWAP", "BTC-USD-SWAP", "", "")]
    bodies = [okx_payloads.answered(rows) for rows in (spot, swaps, [])]
    assert answered(okx_payloads.listed(), bodies) == {"BTC/USDT": Decimal("50000.5"), "BTC/USDT:USDT": Decimal(60000)}


def test_bybit_tells_inverse_turnover_in_base_currency():
    def row(native, turnover, volume):
        return {"symbol": native, "lastPrice": "16597.00", "turnover24h": turnover, "volume24h": volume}

    bodies = [
        bybit_payloads.answered(rows, category)
        for category, rows in {
            "spot": [row("BTCUSDT", "100.5", "1")],
            "linear": [row("BTCUSDT", "200.5", "2")],
            "inverse": [row("BTCUSD", "2352.94950046", "49337318")],
        }.items()
    ]
    assert answered(bybit_payloads.listed(), bodies) == {
        "BTC/USDT": Decimal("100.5"),
        "BTC/USDT:USDT": Decimal("200.5"),
        "BTC/USD:BTC": Decimal(49337318),
    }


def test_kraken_tells_volume_and_its_average_price():
    day = {"v": ["4083.67001100", "4000.5"], "p": ["30706.77771", "30000.1"], "t": [1, 2], "o": "30502.8"}
    body = kraken_payloads.answered({"XXBTZUSD": day, "NOTOURS": day})
    assert answered(kraken_payloads.listed(), [body]) == {"BTC/USD": Decimal("4000.5") * Decimal("30000.1")}


def test_coinbase_tells_volume_in_base_currency():
    bitcoin, *others = coinbase_payloads.PRODUCTS
    products = [bitcoin | {"price": "140.21", "volume_24h": "2"}, *(each | {"price": ""} for each in others)]
    found = answered(coinbase_payloads.listed(), [json.dumps({"products": products})])
    assert found == {"BTC/USD": Decimal("280.42")}


@pytest.mark.parametrize("exchange", [Binance, BinanceUsdm, Bybit, Coinbase, Kraken, Okx])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "{}",
        '[{"symbol":"BNBBTC","quoteVolume":"NaN"}]',
        okx_payloads.answered([{"instType": "SPOT", "instId": "BTC-USDT", "last": "-1", "volCcy24h": "1"}]),
        bybit_payloads.answered([{"symbol": "BTCUSDT", "turnover24h": "1e5", "volume24h": "1e5"}]),
        kraken_payloads.answered({"XXBTZUSD": {"v": ["1", "-1"], "p": ["1", "1"]}}),
        json.dumps({"products": [coinbase_payloads.PRODUCTS[0] | {"price": "1e5", "volume_24h": "1"}]}),
    ],
)
def test_what_cannot_be_read_says_so(exchange, body):
    made = exchange()
    with pytest.raises(MalformedFrame, match="answer of"):
        made.volumes(made.volumes_requests()[0], body)
