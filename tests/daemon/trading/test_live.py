"""Real orders over ccxt, against a stand-in for the exchange's private API on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from bus.clock import SystemClock
from bus.errors import ConfigError, MarketdError
from bus.local import LocalState
from daemon.config.model import LivePortfolio
from daemon.control.request import Rejected
from daemon.trading.account import Account
from daemon.trading.keys import Keys, read_keys
from daemon.trading.live import LiveService
from tests.daemon.trading.private_api import KEY, SECRET, PrivateApi

KEYS = Keys(apiKey=KEY, secret=SECRET)


@pytest.fixture
async def api() -> AsyncIterator[PrivateApi]:
    made = PrivateApi()
    made.server = TestServer(made.app)
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def account(api: PrivateApi) -> AsyncIterator[Account]:
    made = Account("binance", KEYS, str(api.server.make_url("")).rstrip("/"))
    await made.open()
    yield made
    await made.close()


def service(account: Account, state: LocalState | None = None, **more: Any) -> LiveService:
    settings = {"portfolio": "main", "exchange": "binance", "credentials": "k", "enabled": True, "dry_run": False}
    return LiveService(LivePortfolio(**settings | more), account, state or LocalState(), SystemClock())


def order(**more: Any) -> dict[str, Any]:
    return {
        "id": "", "exchange": "", "symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "quantity": "0.00123",
        "price": "50000.10", "time_in_force": "GTC", "post_only": False, "reduce_only": False,
    } | more  # fmt: skip


async def refused(service: LiveService, **more: Any) -> str:
    with pytest.raises(Rejected) as caught:
        await service.submit("main", order(**more))
    return caught.value.code


async def test_an_order_goes_out_signed_with_every_digit_as_it_was_asked_for(api: PrivateApi, account: Account):
    result = await service(account).submit("main", order(id="mine"))
    (sent,) = api.orders
    wanted = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "newClientOrderId": "mine"}
    assert wanted.items() <= sent.items()
    assert (sent["quantity"], sent["price"]) == ("0.00123", "50000.1")
    assert result["text"] == "buy 0.00123 BTC/USDT limit at 50000.10: open (order mine)"
    await service(account).submit("main", order(order_type="market", price=None, side="sell"))
    assert (api.orders[1]["type"], api.orders[1]["side"]) == ("MARKET", "SELL")


async def test_nothing_goes_out_unless_enabled_and_on_no_dry_run(api: PrivateApi, account: Account):
    assert await refused(service(account, enabled=False)) == "not_enabled"
    with pytest.raises(Rejected, match="not enabled"):
        await service(account, enabled=False).cancel_all("main", "", "")
    result = await service(account, dry_run=True).submit("main", order())
    assert result["dry_run"]
    assert "nothing sent" in result["text"]
    assert await refused(service(account, dry_run=True), quantity="0.000001") == "LOT_SIZE"
    assert "POST order" not in api.requests
    defaults = LivePortfolio(portfolio="p", exchange="binance", credentials="k")
    assert (defaults.enabled, defaults.dry_run) == (False, True)


async def test_what_the_exchange_would_round_or_the_limits_forbid_is_refused(api: PrivateApi, account: Account):
    live = service(account, max_order_notional="100")
    assert await refused(live, quantity="0.001234") == "LOT_SIZE"
    assert await refused(live, price="50000.123") == "PRICE_FILTER"
    assert await refused(live, price=None) == "PRICE_FILTER"
    assert await refused(live, symbol="NOPE/USDT") == "UNKNOWN_SYMBOL"
    assert await refused(live, quantity="0.01") == "RISK_LIMIT"
    assert await refused(live, order_type="market", price=None, quantity="0.01") == "RISK_LIMIT"
    assert await refused(live, stop_loss="1") == "not_supported"
    assert await refused(live, order_type="stop_market") == "not_supported"
    assert await refused(live, exchange="okx") == "bad_arguments"
    api.fate = "poor"
    assert await refused(live) == "INSUFFICIENT_BALANCE"
    assert api.orders == []


async def test_an_order_without_an_answer_is_looked_for(api: PrivateApi, account: Account):
    api.fate = "lost"
    result = await service(account).submit("main", order(id="seen"))
    assert "open (order seen)" in result["text"]
    assert len(api.orders) == 1
    api.fate = "never"
    with pytest.raises(MarketdError, match="does not stand there"):
        await service(account).submit("main", order(id="unseen"))
    assert len(api.orders) == 1


async def test_orders_are_canceled_by_our_id_and_all_together(api: PrivateApi, account: Account):
    live = service(account)
    for name in ("a", "b", "c"):
        await live.submit("main", order(id=name))
    assert (await live.cancel("main", "b"))["ids"] == ["b"]
    with pytest.raises(Rejected, match="no open order"):
        await live.cancel("main", "b")
    assert (await live.cancel_all("main", "", "BTC/USDT"))["ids"] == ["a", "c"]
    assert {sent["status"] for sent in api.orders} == {"CANCELED"}
    assert await live.balances("main") == [{"asset": "USDT", "total": "11.5", "locked": "1.0", "free": "10.5"}]


async def test_open_orders_are_listed_newest_first(api: PrivateApi, account: Account):
    live = service(account)
    for name in ("a", "b"):
        await live.submit("main", order(id=name))
    (listed,) = await live.open_orders("main", "BTC/USDT", 1)
    assert listed == {
        "id": "b", "symbol": "BTC/USDT", "side": "buy", "type": "limit", "quantity": "0.00123", "filled": "0.0",
        "price": "50000.1", "status": "open",
    }  # fmt: skip
    assert live.described() == {"portfolio": "main", "state": "open", "mode": "live", "exchange": "binance"}
    assert service(account, enabled=False).described()["state"] == "not enabled"


async def test_a_halt_cancels_refuses_and_survives_a_restart(api: PrivateApi, account: Account):
    state = LocalState()
    await service(account, state).submit("main", order())
    halted = await service(account, state).halt("main", flatten=True)
    assert halted["text"] == "trading is halted in main: 1 orders canceled, what is held is not sold"
    assert await refused(service(account, state)) == "KILL_SWITCH"
    await service(account, state).resume("main")
    await service(account, state).submit("main", order())
    assert [sent["status"] for sent in api.orders] == ["CANCELED", "NEW"]


async def test_wrong_keys_are_said_without_showing_them(api: PrivateApi):
    wrong = Account("binance", Keys(apiKey=KEY, secret="something-else"), str(api.server.make_url("")).rstrip("/"))
    await wrong.open()
    with pytest.raises(Rejected, match="does not accept the keys") as caught:
        await service(wrong).submit("main", order())
    assert "something-else" not in str(caught.value)
    await wrong.close()


async def test_the_service_connects_by_itself_and_says_so_until_then(api: PrivateApi):
    account = Account("binance", KEYS, str(api.server.make_url("")).rstrip("/"))
    live = service(account)
    with pytest.raises(MarketdError, match="not connected"):
        await live.submit("main", order())
    task = asyncio.create_task(live.run())
    async with asyncio.timeout(60):
        while "GET exchangeInfo" not in api.requests or account._ccxt is None or not account._ccxt.markets:
            await asyncio.sleep(0.01)
    await live.submit("main", order())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert account._ccxt is None
    with pytest.raises(ConfigError, match="no exchange"):
        await Account("binanze", KEYS, None).open()


def test_keys_come_from_a_credential_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "binance").write_text(json.dumps({"apiKey": KEY, "secret": SECRET}))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_keys("binance").plain() == {"apiKey": KEY, "secret": SECRET}
    assert read_keys(str(tmp_path / "binance")) == read_keys("binance")
    assert SECRET not in repr(read_keys("binance"))
    (tmp_path / "bad").write_text(json.dumps({"apiKey": KEY, "secrets": SECRET}))
    with pytest.raises(ConfigError, match="JSON object") as caught:
        read_keys("bad")
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys("none")
