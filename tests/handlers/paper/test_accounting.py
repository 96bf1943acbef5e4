"""What is refused, what is reserved, what it costs, what it brings (11, 12, 13, 16, 17)."""

from decimal import Decimal
from itertools import pairwise

import pytest

from bus.clock import SECOND
from handlers.paper.settings import Fees, Settings
from handlers.paper.units import money_text
from tests.handlers.paper.play import Play

DAY_MS = 86_400_000


def _play(settings: Settings | None = None, **initial: str) -> Play:
    play = Play(settings, **initial)
    play.book("99.90*5", "100.00*5")
    return play


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"symbol": "NOPE/USDT", "price": "1.001"}, "UNKNOWN_SYMBOL"),
        ({"price": "99.005", "quantity": "0.00001"}, "PRICE_FILTER"),
        ({"price": "0"}, "PRICE_FILTER"),
        ({"price": "-1"}, "PRICE_FILTER"),
        ({"price": "NaN"}, "PRICE_FILTER"),
        ({"price": "1e400"}, "PRICE_FILTER"),
        ({"price": None}, "PRICE_FILTER"),
        ({"quantity": "0.00005"}, "LOT_SIZE"),
        ({"quantity": "0"}, "LOT_SIZE"),
        ({"quantity": "-1"}, "LOT_SIZE"),
        ({"quantity": None}, "LOT_SIZE"),
        ({"quantity": "much"}, "LOT_SIZE"),
        ({"quote_quantity": "50"}, "LOT_SIZE"),
        ({"quote_quantity": "50", "quantity": None}, "LOT_SIZE"),
        ({"quote_quantity": "50", "order_type": "market"}, "LOT_SIZE"),
        ({"quote_quantity": "0", "quantity": None, "order_type": "market"}, "LOT_SIZE"),
        ({"quote_quantity": "x", "quantity": None, "order_type": "market"}, "LOT_SIZE"),
        ({"order_type": "trailing_stop_market", "trail_bps": "9", "trail_amount": "1"}, "PRICE_FILTER"),
        ({"quantity": "0.05"}, "MIN_NOTIONAL"),
        ({"quantity": "1000", "price": "100.00", "post_only": True}, "POST_ONLY_WOULD_TAKE"),
        ({"quantity": "1000"}, "INSUFFICIENT_BALANCE"),
        ({"side": "sell"}, "INSUFFICIENT_BALANCE"),
    ],
)
def test_what_cannot_be_is_refused_with_a_code_and_moves_nothing(order, reason):
    play = _play()
    wanted = {"order_id": "a", "side": "buy", "order_type": "limit", "quantity": "1", "price": "99.00", **order}
    play.order(**wanted)
    assert play.state("a").endswith(f" {reason}")
    assert play.state("a").startswith("REJECTED 0/")
    assert play.balance("USDT") == "10000 0"
    assert play.fills() == []
    play.order("a", "buy", "limit", "1", price="99.00")
    assert play.refused() == ["a DUPLICATE_ORDER_ID"]  # its id is used up


def test_commands_on_orders_that_are_not_open_are_answered():
    play = _play()
    play.limit("a", "buy", "1", "99.00")
    play.cancel("a")
    play.cancel("a")
    play.amend("a", quantity="2")
    play.limit("a", "buy", "1", "99.00")
    assert play.refused() == ["a UNKNOWN_ORDER", "a UNKNOWN_ORDER", "a DUPLICATE_ORDER_ID"]
    assert play.state("a") == "CANCELED 0/1"


def test_a_buy_reserves_price_times_leaves_and_the_higher_fee():
    play = _play(Settings(Fees(maker="0.001", taker="0.002")))
    play.limit("a", "buy", "2", "99.50")
    assert play.balance("USDT") == "10000 199.398"
    play.trade("sell", "99.00*0.5")
    assert play.balance("USDT") == "9950.20025 149.5485"
    play.cancel("a")
    assert play.balance("USDT") == "9950.20025 0"


def test_a_buy_whose_fee_is_taken_from_what_it_brings_reserves_no_fee():
    play = _play(Settings(Fees(currency="received")))
    play.limit("a", "buy", "2", "99.50")
    assert play.balance("USDT") == "10000 199"


def test_a_sell_reserves_its_leaves():
    play = _play(USDT="0", BTC="3")
    play.limit("a", "sell", "2", "101.00")
    play.limit("b", "sell", "2", "102.00")
    assert play.state("b") == "REJECTED 0/2 INSUFFICIENT_BALANCE"
    play.trade("buy", "101.00*0.5")
    assert play.balance("BTC") == "2.5 1.5"
    play.cancel_all()
    assert play.balance("BTC") == "2.5 0"


def test_all_the_money_can_be_spent_but_not_more():
    play = _play(USDT="100.1")
    play.market("a", "buy", "1.0001")
    assert play.state("a") == "REJECTED 0/1.0001 INSUFFICIENT_BALANCE"
    play.market("b", "buy", "1")
    assert play.balance("USDT") == "0 0"


def test_a_fee_in_the_received_asset_comes_out_of_what_was_bought():
    play = _play(Settings(Fees(maker="0.001", taker="0.001", currency="received")))
    play.market("a", "buy", "1")
    assert play.fees() == ["0.001 BTC"]
    assert play.balance("BTC") == "0.999 0"
    assert play.balance("USDT") == "9900 0"
    assert play.position.average() == "100"
    assert play.equity() == "9999.8001"  # 9900 + 0.999 x 99.90
    play.market("b", "sell", "1")
    assert play.state("b") == "REJECTED 0/1 INSUFFICIENT_BALANCE"
    play.market("c", "sell", "0.999")
    assert play.fees()[1:] == ["0.0998001 USDT"]
    assert play.balance("BTC") == "0 0"


def test_maker_and_taker_pay_their_own_rates():
    play = _play(Settings(Fees(maker="0.0002", taker="0.0004")))
    play.market("a", "buy", "1")
    play.limit("b", "buy", "1", "99.95")
    play.trade("sell", "99.95*1")
    assert play.fees() == ["0.04 USDT", "0.01999 USDT"]


def test_average_cost_and_realised_results():
    play = _play(Settings(Fees("0", "0")))
    play.market("a", "buy", "1")
    play.book("109.00*5", "110.00*5")
    play.market("b", "buy", "2")
    average = (Decimal(100) + 220) / 3
    assert abs(Decimal(play.position.average() or 0) - average) < Decimal("1e-20")
    play.market("c", "sell", "1.5")
    assert money_text(play.position.realized) == "3.5"  # 1.5 x (109 - 320/3), exact
    assert play.equity() == "10007"
    assert money_text(play.position.cost) == "160"


def test_a_cost_that_does_not_come_out_even_is_split_to_18_decimals_and_adds_up():
    play = _play(Settings(Fees("0", "0")))
    play.market("a", "buy", "1")
    play.book("109.00*5", "110.00*5")
    play.market("b", "buy", "2")
    play.market("c", "sell", "1")
    assert money_text(play.position.realized) == "2.333333333333333334"
    assert money_text(play.position.cost) == "213.333333333333333334"


def test_what_an_account_starts_with_counts_from_its_first_price():
    play = Play(USDT="100", BTC="2")
    assert play.equity() == "100"
    play.book("50.00*5", "51.00*5")
    assert play.equity() == "200"
    play.book("60.00*5", "61.00*5")
    assert play.equity() == "220"
    assert play.portfolio.invested == 200 * 10**30


def test_a_statistic_without_anything_is_none_not_zero():
    statistics = Play().portfolio.statistics()
    assert statistics.round_trips == 0
    assert statistics.win_rate_dec is statistics.profit_factor_dec is statistics.expectancy is None
    assert statistics.sharpe is statistics.sortino is None


def test_round_trips_count_net_of_their_fees():
    play = _play(Settings(Fees("0", "0.001")))
    for number, price in enumerate(("110.00", "95.00")):
        play.book("99.90*5", "100.00*5")
        play.market(f"b{number}", "buy", "1")
        play.book(f"{price}*5", "120.00*5")
        play.market(f"s{number}", "sell", "1")
    statistics = play.portfolio.statistics()
    assert statistics.round_trip_net == [Decimal("9.79"), Decimal("-5.195")]
    assert (statistics.round_trips, statistics.wins) == (2, 1)
    assert statistics.win_rate_dec == Decimal("0.5")
    assert statistics.profit_factor_dec == Decimal("1.884504")
    assert statistics.expectancy == Decimal("2.2975")
    assert (statistics.average_win, statistics.average_loss) == (Decimal("9.79"), Decimal("5.195"))
    assert statistics.fees_paid == Decimal("0.405")


def test_drawdown_is_on_marked_equity():
    play = _play(Settings(Fees("0", "0")))
    play.market("a", "buy", "10")
    for bid in ("120.00", "105.00", "118.00", "130.00", "121.00"):
        play.book(f"{bid}*5", "140.00*5")
    statistics = play.portfolio.statistics()
    # 5 bought (all there was): 10000 + 5 x (bid - 100)
    assert (statistics.peak_equity, statistics.trough_equity) == (Decimal(10100), Decimal(10025))
    assert statistics.max_drawdown_abs == Decimal(75)
    assert statistics.max_drawdown_pct == Decimal("0.742574")


def test_sharpe_and_sortino_are_of_daily_returns():
    play = _play(Settings(Fees("0", "0")), USDT="1000")
    play.market("a", "buy", "1")
    for day, bid in enumerate(("110.00", "105.00", "120.00", "118.00"), 1):
        play.at(day * DAY_MS - 1)
        play.book(f"{bid}*5", "130.00*5")
    play.at(4 * DAY_MS)
    play.book("118.00*4", "130.00*5")
    statistics = play.portfolio.statistics()
    equities = [Decimal(1000), Decimal(1010), Decimal(1005), Decimal(1020), Decimal(1018)]
    returns = [(b - a) / a for a, b in pairwise(equities)]
    mean = sum(returns) / 4
    deviation = (sum((r - mean) ** 2 for r in returns) / 3).sqrt()
    downside = (sum(min(r, Decimal(0)) ** 2 for r in returns) / 4).sqrt()
    year = Decimal(365).sqrt()
    assert statistics.period == "1d"
    assert statistics.sharpe == (mean / deviation * year).quantize(Decimal("0.000001"))
    assert statistics.sortino == (mean / downside * year).quantize(Decimal("0.000001"))


def test_exposure_is_the_share_of_time_with_a_position():
    play = Play()
    play.book("99.90*5", "100.00*5")
    play.at(1_000)
    play.market("a", "buy", "1")
    play.at(2_000)
    play.market("b", "sell", "1")
    play.at(4_999)
    play.book("99.00*5", "100.00*5")
    play.engine.advance(5 * SECOND)
    began = play.portfolio.record.began
    assert began == 0
    assert play.portfolio.statistics().exposure == Decimal("0.2")
