"""Limits, the kill switch, and commands that take their time (14, 18)."""

import pytest

from bus.clock import MILLISECOND
from bus.paper import TradingHalted
from handlers.paper.settings import Fees, Latency, RiskLimits, Settings
from tests.handlers.paper.play import Play

FREE = Fees("0", "0")


def _play(**limits) -> Play:
    play = Play(Settings(FREE, risk=RiskLimits(**limits)))
    play.book("99.90*50", "100.00*50")
    return play


def test_an_order_worth_too_much_is_refused():
    play = _play(max_order_notional="500")
    play.limit("a", "buy", "5.1", "100.00")
    play.market("b", "buy", "5.1")
    play.market("c", "buy", "5")
    assert play.state("a") == play.state("b") == "REJECTED 0/5.1 RISK_LIMIT"
    play.limit("d", "buy", "5", "99.00")
    play.amend("d", quantity="6")
    assert play.refused() == ["d RISK_LIMIT"]
    assert play.state("d") == "NEW 0/5"


def test_a_position_cannot_grow_beyond_its_limit_by_orders_that_are_open_together():
    play = _play(max_position_notional="500")
    play.market("a", "buy", "3")
    play.limit("b", "buy", "1.5", "99.00")
    play.limit("c", "buy", "1", "99.00")
    assert play.state("c") == "REJECTED 0/1 RISK_LIMIT"
    play.amend("b", quantity="3")
    assert play.refused() == ["b RISK_LIMIT"]
    play.market("d", "sell", "3")  # getting smaller is always allowed
    assert play.state("d") == "FILLED 3/3"


def test_not_more_orders_than_may_be_open():
    play = _play(max_open_orders=2)
    for name in "abc":
        play.limit(name, "buy", "1", "99.00")
    assert play.state("c") == "REJECTED 0/1 RISK_LIMIT"
    play.cancel("a")
    play.limit("d", "buy", "1", "99.00")
    assert play.state("d") == "NEW 0/1"


def test_not_more_orders_than_a_second_may_have():
    play = _play(max_orders_per_second=2)
    for name in "abc":
        play.limit(name, "buy", "1", "99.00")
    assert play.state("c") == "REJECTED 0/1 RISK_LIMIT"
    play.cancel("a")  # cancels are no orders
    play.at(1_002)
    play.limit("d", "buy", "1", "99.00")
    assert play.state("d") == "NEW 0/1"


@pytest.mark.parametrize("limits", [{"max_daily_loss": "50"}, {"max_drawdown": "0.005"}])
def test_a_loss_beyond_its_limit_halts(limits):
    play = _play(**limits)
    play.market("a", "buy", "10")
    play.limit("b", "buy", "1", "90.00")
    play.book("95.01*50", "100.00*50")
    assert play.portfolio.halted is None
    play.book("95.00*50", "100.00*50")
    assert play.portfolio.halted == next(iter(limits))
    assert play.state("b") == "CANCELED 0/1"
    play.limit("c", "buy", "1", "90.00")
    assert play.state("c") == "REJECTED 0/1 KILL_SWITCH"
    play.resume()
    play.limit("d", "buy", "1", "90.00")
    play.book("94.99*50", "100.00*50")  # the loss counts from the resuming
    assert play.state("d") == "NEW 0/1"


def test_a_loss_on_what_an_account_started_with_counts_too():
    play = Play(Settings(FREE, risk=RiskLimits(max_daily_loss="50")), USDT="0", BTC="1")
    play.book("100.00*50", "101.00*50")
    play.book("50.01*50", "101.00*50")
    assert play.portfolio.halted is None
    play.book("50.00*50", "101.00*50")
    assert play.portfolio.halted == "max_daily_loss"


def test_a_new_day_has_its_own_loss():
    play = _play(max_daily_loss="50")
    play.market("a", "buy", "10")
    play.book("96.00*50", "100.00*50")
    play.at(86_400_000)
    play.book("95.00*50", "100.00*50")
    play.book("91.01*50", "100.00*50")
    assert play.portfolio.halted is None
    play.book("91.00*50", "100.00*50")
    assert play.portfolio.halted == "max_daily_loss"


def test_the_kill_switch_cancels_refuses_and_survives_a_restart():
    play = _play()
    play.market("a", "buy", "2")
    play.limit("b", "buy", "1", "99.00")
    play.stop("s", "sell", "2", "90.00")
    play.halt()
    assert play.state("b") == "CANCELED 0/1"
    assert play.state("s") == "CANCELED 0/2"
    assert play.balance("BTC") == "2 0"
    play.restart()
    play.limit("c", "buy", "1", "99.00")
    assert play.state("c") == "REJECTED 0/1 KILL_SWITCH"
    play.cancel("c")
    assert play.refused() == ["c UNKNOWN_ORDER"]  # cancels get through, there is nothing to cancel
    play.resume()
    play.limit("d", "buy", "1", "99.00")
    assert play.state("d") == "NEW 0/1"
    assert [r.halted for r in play.engine.reports if isinstance(r, TradingHalted)] == [True, False]


def test_flattening_sells_what_the_book_takes():
    play = _play()
    play.market("a", "buy", "20")
    play.limit("b", "sell", "5", "110.00")
    play.book("99.00*5 98.00*5", "100.00*5")
    play.halt(flatten=True)
    assert play.fills("flatten") == ["flatten 5@99.00", "flatten 5@98.00"]
    assert play.state("flatten") == "EXPIRED 10/20"
    assert play.balance("BTC") == "10 0"


def test_a_halt_leaves_nothing_that_protects_what_was_bought_in_the_same_moment():
    play = _play(max_daily_loss="50")
    play.limit("e", "buy", "10", "99.00", take_profit="110.00", stop_loss="80.00")
    play.book("90.00*50", "90.10*50")
    assert play.state("e") == "FILLED 10/10"
    assert play.portfolio.halted == "max_daily_loss"
    assert not play.portfolio.open


def test_what_is_sent_meets_the_market_as_it_is_on_arrival():
    play = Play(Settings(latency=Latency(submit=5 * MILLISECOND, cancel=2 * MILLISECOND)))
    play.book("99.90*5", "100.00*5")
    play.market("a", "buy", "1")  # sent at 2, arrives at 7
    play.at(6)
    play.book("100.90*5", "101.00*5")
    play.book("101.90*5", "102.00*5")  # at 7: what happens at the moment of arrival comes first
    assert play.fills() == []
    play.book("102.90*5", "103.00*5")
    assert play.fills() == ["a 1@102.00"]


def test_a_cancel_on_its_way_loses_to_a_fill():
    play = Play(Settings(latency=Latency(submit=0, cancel=5 * MILLISECOND)))
    play.book("99.90*5", "100.00*5")
    play.limit("a", "buy", "1", "99.95")
    play.cancel("a")
    play.restart()  # what is on its way arrives all the same
    play.trade("sell", "99.95*2")
    play.at(20)
    play.trade("sell", "99.00*1")
    assert play.state("a") == "FILLED 1/1"
    assert play.refused() == ["a UNKNOWN_ORDER"]


def test_what_is_on_its_way_when_trading_halts_is_refused():
    play = Play(Settings(latency=Latency(submit=5 * MILLISECOND)))
    play.book("99.90*5", "100.00*5")
    play.limit("a", "buy", "1", "99.00")
    play.halt()
    play.engine.advance(100 * MILLISECOND)
    assert play.state("a") == "REJECTED 0/1 KILL_SWITCH"


def test_the_same_seed_draws_the_same_delays():
    latency = Latency(MILLISECOND, MILLISECOND, jitter=10 * MILLISECOND, seed=3)
    drawn = [latency.of(serial, submit=True) for serial in range(50)]
    assert drawn == [latency.of(serial, submit=True) for serial in range(50)]
    assert len(set(drawn)) > 10
    assert min(drawn) >= MILLISECOND
    assert max(drawn) <= 11 * MILLISECOND
    other = Latency(MILLISECOND, MILLISECOND, jitter=10 * MILLISECOND, seed=4)
    assert drawn != [other.of(serial, submit=True) for serial in range(50)]
