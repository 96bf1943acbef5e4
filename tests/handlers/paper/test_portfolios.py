"""Accounts come and go, several of them on several symbols."""

import pytest

from bus.clock import MILLISECOND
from bus.events import Book
from handlers.paper.commands import Cancel, Halt, Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.orders import OrderRequest
from handlers.paper.portfolio import FINISHED_KEPT
from handlers.paper.settings import Fees, Latency, RiskLimits, Settings
from handlers.paper.units import money_text
from tests.handlers.paper.play import NAME, Play


def test_another_account_of_the_same_name_begins_anew():
    play = Play(Settings(latency=Latency(cancel=50 * MILLISECOND)))
    play.book("99.90*5", "100.00*5")
    play.limit("a", "buy", "1", "99.00", time_in_force="GTD", expire=20 * MILLISECOND)
    play.command(Cancel(NAME, "a"))
    play.engine.remove(NAME)
    play.engine.create(NAME, {"USDT": "500"}, Settings())
    play.limit("a", "buy", "1", "99.00")
    play.at(100)
    play.book("99.90*6", "100.00*5")
    assert play.state("a") == "NEW 0/1"
    assert play.balance("USDT") == "500 99.099"


def test_ids_of_ended_orders_are_remembered_within_a_bound():
    play = Play()
    play.book("99.90*5", "100.00*5")
    for number in range(2 * FINISHED_KEPT + 5):
        play.order(f"o{number}", "buy", "limit")  # refused, and its id used up
        play.engine.reports.clear()
    play.restart()
    for number in (0, FINISHED_KEPT + 5, 2 * FINISHED_KEPT + 4):
        play.order(f"o{number}", "buy", "limit")
    newest = 2 * FINISHED_KEPT + 4
    assert play.refused() == [f"o{FINISHED_KEPT + 5} DUPLICATE_ORDER_ID", f"o{newest} DUPLICATE_ORDER_ID"]


def test_an_account_opened_while_all_trading_is_halted_is_halted():
    play = Play()
    play.engine.halted = "by command"
    play.restart()
    play.engine.create("late", {"USDT": "1"}, Settings())
    assert play.engine.portfolios["late"].halted == "by command"


def test_only_what_is_paid_in_the_accounts_currency_can_be_traded():
    play = Play(EUR="1000")
    play.book("99.90*5", "100.00*5")
    play.market("a", "buy", "1")
    assert play.state("a") == "REJECTED 0/1 UNKNOWN_SYMBOL"


@pytest.mark.parametrize(
    ("settings", "initial", "words"),
    [
        (Settings(Fees(maker="1")), {"USDT": "1"}, "fee rate of '1'"),
        (Settings(Fees(taker="-0.1")), {"USDT": "1"}, "fee rate of '-0.1'"),
        (Settings(risk=RiskLimits(max_open_orders=0)), {"USDT": "1"}, "max_open_orders"),
        (Settings(risk=RiskLimits(max_daily_loss="much")), {"USDT": "1"}, "'much'"),
        (Settings(latency=Latency(jitter=-1)), {"USDT": "1"}, "latency"),
        (Settings(), {}, "something to start with"),
        (Settings(), {"USDT": "-1"}, "less than nothing"),
        (Settings(), {"USDT": "1e400"}, "1e400"),
    ],
)
def test_an_account_that_cannot_be_is_refused(settings: Settings, initial: dict[str, str], words: str):
    engine = Engine()
    with pytest.raises(ValueError, match=words):
        engine.create("a", initial, settings)
    assert engine.portfolios == {}


def _two_symbols() -> Engine:
    engine = Engine()
    for number, base in enumerate(("BTC", "ETH"), 1):
        symbol = f"{base}/USDT"
        engine.list_instrument(Instrument("x", InstrumentSpec(symbol, base, "USDT", "0.01", "0.0001")))
        engine.on_event(Book("x", symbol, None, number, "ws", "snapshot", [("99", "9")], [("100", "9")]))
    return engine


def _send(engine: Engine, order_id: str, symbol: str, side: str, order_type: str, **more: str) -> None:
    request = OrderRequest(id=order_id, exchange="x", symbol=symbol, side=side, order_type=order_type, **more)
    engine.on_command(Submit("me", request), engine.clock.now + 1, engine.position + 1)


def test_one_account_on_two_symbols():
    engine = _two_symbols()
    portfolio = engine.create("me", {"USDT": "1000"}, Settings(Fees("0", "0")))
    for base, quantity in (("BTC", "1"), ("ETH", "2")):
        _send(engine, base, f"{base}/USDT", "buy", "market", quantity=quantity)
    for base in ("BTC", "ETH"):  # the same name of a pair on two symbols: each holds back its own asset
        _send(engine, f"{base}-tp", f"{base}/USDT", "sell", "limit", quantity="1", price="110", oco="x")
        _send(engine, f"{base}-sl", f"{base}/USDT", "sell", "stop_market", quantity="1", stop_price="90", oco="x")
    assert [money_text(portfolio.ledger.balance(base).locked) for base in ("BTC", "ETH")] == ["1", "1"]
    assert money_text(portfolio.equity()) == "997"
    engine.on_command(Halt("me", flatten=True), engine.clock.now + 1, engine.position + 1)
    assert [money_text(portfolio.ledger.balance(base).total) for base in ("BTC", "ETH", "USDT")] == ["0", "0", "997"]
    assert portfolio.known("flatten")
    assert portfolio.known("flatten-2")
    assert not any(balance.locked for balance in portfolio.ledger.balances.values())


def test_an_instrument_too_fine_to_be_exact_is_refused():
    spec = InstrumentSpec("PEPE/USDT", "PEPE", "USDT", "0.000000000001", "0.00000000001")
    with pytest.raises(ValueError, match="too fine"):
        Instrument("x", spec)
