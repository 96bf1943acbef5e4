"""Orders that wait for a price, and orders that depend on each other (7, 9)."""

import pytest

from handlers.paper.settings import Fees, Settings
from tests.handlers.paper.play import Play


def _long(settings: Settings | None = None, size: str = "1") -> Play:
    """An account that has bought at 100.00, last print 100.00."""
    play = Play(settings)
    play.book("99.90*5", "100.00*5")
    play.trade("buy", "100.00*1")
    play.market("e", "buy", size)
    return play


def test_a_stop_fills_at_the_book_never_at_its_price():
    play = _long()
    play.stop("s", "sell", "1", "95.00")
    play.book("94.40*0.6 94.30*2", "94.60*5")
    assert play.state("s") == "NEW 0/1"  # watches prints, not the book
    play.trade("buy", "94.60*0.1")
    assert play.fills("s") == ["s 0.6@94.40", "s 0.4@94.30"]


def test_the_print_that_triggers_also_proves_levels_gone():
    play = _long()
    play.stop("s", "sell", "1", "95.00")
    play.book("99.90*5 94.00*5", "100.00*5")
    play.trade("sell", "95.00*1")
    assert play.fills("s") == ["s 1@94.00"]


def test_what_the_book_cannot_fill_of_a_stop_expires():
    play = _long(size="2")
    play.stop("s", "sell", "2", "95.00")
    play.book("94.00*0.5", "94.60*5")
    play.trade("buy", "94.60*0.1")
    assert play.state("s") == "EXPIRED 0.5/2"
    assert play.balance("BTC") == "1.5 0"


@pytest.mark.parametrize(
    ("side", "order_type", "stop_price"),
    [
        ("buy", "stop_market", "100.00"),
        ("sell", "stop_market", "100.00"),
        ("buy", "take_profit_market", "100.00"),
        ("sell", "take_profit_market", "100.00"),
        ("sell", "stop_market", "101.00"),
        ("sell", "take_profit_market", "99.00"),
    ],
)
def test_a_stop_in_the_market_already_is_refused(side, order_type, stop_price):
    play = _long()
    play.order("s", side, order_type, "1", stop_price=stop_price)
    assert play.state("s") == "REJECTED 0/1 STOP_WOULD_TRIGGER"


@pytest.mark.parametrize(
    ("trigger", "quiet", "firing"),
    [
        ("last", [("mark", "94.00"), ("book", "94.00*5", "96.00*5")], ("trade", "buy", "95.00*0.1")),
        ("mark", [("trade", "buy", "94.00*0.1"), ("book", "94.00*5", "96.00*5")], ("mark", "95.00")),
        ("bid_ask", [("trade", "buy", "100.00*0.1"), ("mark", "94.00")], ("book", "95.00*5", "96.00*5")),
        ("bid_ask", [("mark", "94.00")], ("trade", "sell", "95.00*1")),
    ],
)
def test_a_stop_watches_what_it_is_told_to(trigger, quiet, firing):
    play = Play()
    play.book("99.90*5 95.00*5", "100.00*5")
    play.mark("100.00")
    play.trade("buy", "100.00*1")
    play.market("e", "buy", "1")
    play.stop("s", "sell", "1", "95.00", trigger=trigger)
    for step in quiet:
        getattr(play, step[0])(*step[1:])
        assert play.state("s") == "NEW 0/1"
    getattr(play, firing[0])(*firing[1:])
    assert play.state("s") == "FILLED 1/1"


def test_a_stop_limit_becomes_a_limit_order():
    play = _long()
    play.order("s", "sell", "stop_limit", "1", stop_price="98.00", price="97.50")
    play.book("97.60*0.4 97.40*5", "98.00*5")
    play.trade("buy", "98.00*0.1")
    assert play.fills("s") == ["s 0.4@97.60"]
    play.trade("buy", "97.60*0.5")
    assert play.fills("s")[1:] == ["s 0.5@97.50 m"]


def test_take_profits_fire_the_other_way():
    play = _long()
    play.order("s", "sell", "take_profit_limit", "1", stop_price="105.00", price="105.50")
    play.book("104.90*5", "105.00*5")
    play.trade("buy", "105.00*1")
    assert play.state("s") == "NEW 0/1"
    play.trade("buy", "105.60*1")
    assert play.fills("s") == ["s 1@105.50 m"]


def test_several_stops_fire_in_the_order_of_their_acceptance():
    play = _long(size="2")
    play.stop("high", "sell", "1", "99.00")
    play.stop("low", "sell", "1", "98.00")
    play.book("97.00*1 96.00*5", "97.50*5")
    play.trade("sell", "97.00*1")
    assert play.fills()[1:] == ["high 1@97.00", "low 1@96.00"]


@pytest.mark.parametrize(
    ("distance", "stops"), [({"trail_bps": "100"}, ["99.00", "100.98"]), ({"trail_amount": "2"}, ["98.00", "100.00"])]
)
def test_a_trailing_stop_ratchets_only(distance, stops):
    play = _long()
    play.order("t", "sell", "trailing_stop_market", "1", **distance)
    assert play.stop_of("t") == stops[0]
    for price in ("102.00", "101.50", "101.00"):
        play.trade("buy", f"{price}*0.1")
        assert play.stop_of("t") == stops[1]
    play.book("99.00*5", "99.10*5")
    play.trade("sell", "99.00*0.1")
    assert play.fills("t") == ["t 1@99.00"]


def test_a_trailing_stop_to_buy_follows_down_and_frees_what_it_needs_no_more():
    play = _long()
    play.order("t", "buy", "trailing_stop_market", "1", trail_bps="100")
    assert play.balance("USDT").split()[1] == "101.101"
    play.trade("sell", "90.00*0.1")
    assert play.stop_of("t") == "90.90"
    assert play.balance("USDT").split()[1] == "90.9909"
    play.book("91.00*5", "91.10*5")
    play.trade("buy", "91.10*0.1")
    assert play.fills("t") == ["t 1@91.10"]


def test_a_distance_that_is_none_is_refused():
    play = _long()
    for number, bps in enumerate(("0", "-5", "10000", "much", None)):
        play.order(f"t{number}", "sell", "trailing_stop_market", "1", trail_bps=bps)
        assert play.state(f"t{number}") == "REJECTED 0/1 PRICE_FILTER"


def test_a_buy_stop_that_the_account_cannot_pay_any_more_ends():
    play = Play(USDT="101")
    play.book("99.00*5", "99.50*5")
    play.stop("s", "buy", "1", "100.00")
    play.book("104.00*5", "105.00*5")
    play.trade("buy", "105.00*1")
    assert play.state("s") == "EXPIRED 0/1 INSUFFICIENT_BALANCE"
    assert play.balance("USDT") == "101 0"


def test_a_pair_reserves_once_and_its_first_execution_cancels_the_other():
    play = _long()
    play.limit("tp", "sell", "1", "110.00", oco="x")
    play.stop("sl", "sell", "1", "95.00", oco="x")
    assert play.balance("BTC") == "1 1"
    play.trade("buy", "111.00*0.4")
    assert play.fills("tp") == ["tp 0.4@110.00 m"]
    assert play.state("sl") == "CANCELED 0/1"
    assert play.balance("BTC") == "0.6 0.6"


def test_the_stop_of_a_pair_cancels_its_limit():
    play = _long()
    play.limit("tp", "sell", "1", "110.00", oco="x")
    play.stop("sl", "sell", "1", "95.00", oco="x")
    play.book("94.00*5", "94.50*5")
    play.trade("sell", "94.00*1")
    assert play.state("sl") == "FILLED 1/1"
    assert play.state("tp") == "CANCELED 0/1"
    assert play.balance("BTC") == "0 0"


def test_cancelling_one_of_a_pair_leaves_the_other_and_what_it_needs():
    play = _long()
    play.limit("tp", "sell", "0.4", "110.00", oco="x")
    play.stop("sl", "sell", "1", "95.00", oco="x")
    assert play.balance("BTC") == "1 1"
    play.cancel("sl")
    assert play.balance("BTC") == "1 0.4"
    assert play.state("tp") == "NEW 0/0.4"


def test_a_pair_to_buy_reserves_the_dearer():
    play = Play()
    play.book("99.90*5", "100.00*5")
    play.limit("dip", "buy", "1", "90.00", oco="x")
    play.stop("break", "buy", "1", "110.00", oco="x")
    assert play.balance("USDT") == "10000 110.11"


def test_a_partial_fill_of_one_shrinks_the_other():
    play = _long()
    play.limit("tp", "sell", "1", "110.00", ouo="x", reduce_only=True)
    play.stop("sl", "sell", "1", "95.00", ouo="x", reduce_only=True)
    play.trade("buy", "111.00*0.4")
    assert play.state("sl") == "NEW 0/0.6"
    assert play.balance("BTC") == "0.6 0.6"
    play.trade("buy", "111.00*9")
    assert play.state("sl") == "CANCELED 0/0.6"


def test_groups_of_one_name_on_two_kinds_are_two_groups():
    play = _long(size="2")
    play.limit("a", "sell", "1", "110.00", ouo="x")
    play.limit("b", "sell", "1", "110.00", oco="x")
    assert play.balance("BTC") == "2 2"


def test_a_bracket_protects_what_was_bought_as_it_grows():
    play = Play()
    play.book("99.90*5", "100.00*1")
    play.limit("e", "buy", "3", "100.00", take_profit="110.00", stop_loss="95.00")
    assert play.state("e:tp") == "NEW 0/1"
    assert play.state("e:sl") == "NEW 0/1"
    assert play.balance("BTC") == "1 1"
    play.trade("sell", "99.00*1.5")
    assert play.state("e:tp") == "NEW 0/2.5"
    assert play.state("e:sl") == "NEW 0/2.5"
    play.trade("buy", "110.50*1")
    assert play.state("e:tp") == "PARTIALLY_FILLED 1/2.5"
    assert play.state("e:sl") == "NEW 0/1.5"
    play.cancel("e")
    play.book("94.00*9", "94.50*5")
    play.trade("sell", "94.00*1")
    assert play.fills("e:sl") == ["e:sl 1.5@94.00"]
    assert play.state("e:tp") == "CANCELED 1/2.5"


def test_what_is_bought_after_a_bracket_has_closed_is_protected_anew():
    play = Play()
    play.book("99.90*5", "100.00*1")
    play.limit("e", "buy", "2", "100.00", take_profit="110.00", stop_loss="95.00")
    play.trade("buy", "110.50*1")
    assert play.state("e:sl") == "CANCELED 0/1"
    play.trade("sell", "99.50*1")
    assert play.state("e:tp2") == "NEW 0/1"
    assert play.state("e:sl2") == "NEW 0/1"
    assert play.balance("BTC") == "1 1"


def test_a_bracket_of_which_one_was_cancelled_goes_on_with_the_other():
    play = Play()
    play.book("99.90*5", "100.00*1")
    play.limit("e", "buy", "2", "100.00", take_profit="110.00", stop_loss="95.00")
    play.cancel("e:tp")
    play.trade("sell", "99.50*1")
    assert play.state("e:sl") == "NEW 0/2"
    assert play.state("e:tp2") == "NEW 0/1"
    assert play.balance("BTC") == "2 2"


def test_a_bracket_with_fees_in_what_was_bought_covers_whole_lots_of_the_rest():
    play = Play(Settings(Fees(currency="received")))
    play.book("99.90*5", "100.00*5")
    play.market("e", "buy", "1", stop_loss="95.00")
    assert play.state("e:sl") == "NEW 0/0.999"


def test_a_stop_loss_in_the_market_already_is_refused_and_said():
    play = Play()
    play.book("99.90*5", "100.00*5")
    play.trade("buy", "100.00*1")
    play.market("e", "buy", "1", stop_loss="101.00", take_profit="110.00")
    assert play.state("e:sl") == "REJECTED 0/1 STOP_WOULD_TRIGGER"
    assert play.state("e:tp") == "NEW 0/1"
