"""Orders that take from the book: sweeps, taken liquidity, time in force, self-trade prevention (1, 2, 5, 10, 11)."""

import pytest

from handlers.paper.settings import Settings
from tests.handlers.paper.play import Play

BIDS, ASKS = "99.90*5", "100.00*1 100.10*2 100.20*5"


def test_a_market_order_sweeps_level_by_level():
    play = Play()
    play.book(BIDS, ASKS)
    play.market("a", "buy", "2.5")
    assert play.fills() == ["a 1@100.00", "a 1.5@100.10"]
    assert play.state("a") == "FILLED 2.5/2.5"


def test_what_the_book_cannot_fill_expires_and_an_empty_book_refuses():
    play = Play()
    play.book(BIDS, "100.00*1 100.10*2")
    play.market("a", "buy", "5")
    assert play.fills() == ["a 1@100.00", "a 2@100.10"]
    assert play.state("a") == "EXPIRED 3/5"
    play.market("b", "buy", "1")
    assert play.state("b") == "REJECTED 0/1 NO_LIQUIDITY"
    play.book("", "")
    play.market("c", "sell", "1")
    assert play.state("c") == "REJECTED 0/1 NO_LIQUIDITY"
    assert play.balance("BTC") == "3 0"


def test_a_crossing_limit_takes_at_book_prices_and_the_rest_rests_at_its_limit():
    play = Play()
    play.book(BIDS, ASKS)
    play.limit("a", "buy", "4", "100.10")
    assert play.fills() == ["a 1@100.00", "a 2@100.10"]
    assert play.state("a") == "PARTIALLY_FILLED 3/4"
    play.trade("sell", "100.10*9")
    assert play.fills()[2:] == ["a 1@100.10 m"]


def test_taken_liquidity_is_taken_until_its_level_changes():
    play = Play()
    play.book(BIDS, ASKS)
    play.market("a", "buy", "0.6")
    play.book(BIDS, ASKS)  # the same again
    play.market("b", "buy", "1")
    assert play.fills("b") == ["b 0.4@100.00", "b 0.6@100.10"]
    play.level("ask", "100.00*1")  # the same again, as a delta
    play.level("ask", "100.20*6")  # another level
    play.market("c", "buy", "0.1")
    assert play.fills("c") == ["c 0.1@100.10"]
    play.level("ask", "100.00*0.8")
    play.market("d", "buy", "1")
    assert play.fills("d") == ["d 0.8@100.00", "d 0.2@100.10"]


def test_a_level_that_went_and_came_back_is_fresh():
    play = Play()
    play.book(BIDS, ASKS)
    play.market("a", "buy", "1")
    play.level("ask", "100.00*0")
    play.level("ask", "100.00*1")
    play.market("b", "buy", "1")
    assert play.fills("b") == ["b 1@100.00"]


def test_a_killed_fok_consumes_nothing_and_a_filled_one_fills_whole():
    play = Play()
    play.book(BIDS, ASKS)
    play.limit("a", "buy", "4", "100.10", time_in_force="FOK")
    assert play.state("a") == "EXPIRED 0/4"
    play.limit("b", "buy", "3", "100.10", time_in_force="FOK")
    assert play.fills() == ["b 1@100.00", "b 2@100.10"]
    play.limit("c", "buy", "1", "100.10", time_in_force="FOK")
    assert play.state("c") == "EXPIRED 0/1"


def test_ioc_keeps_what_it_got():
    play = Play()
    play.book(BIDS, ASKS)
    play.limit("a", "buy", "4", "100.10", time_in_force="IOC")
    assert play.state("a") == "EXPIRED 3/4"
    assert play.balance("USDT").endswith(" 0")


def test_gtd_ends_at_its_time_before_what_happens_then():
    play = Play()
    play.book(BIDS, ASKS)
    play.limit("a", "buy", "1", "99.00", time_in_force="GTD", expire=20_000_000)
    play.limit("b", "buy", "1", "99.00", time_in_force="GTD", expire=21_000_000)
    play.at(20)
    play.trade("sell", "98.00*5")
    assert play.state("a") == "EXPIRED 0/1"
    assert play.fills() == ["b 1@99.00 m"]
    play.limit("c", "buy", "1", "99.00", time_in_force="GTD", expire=20_000_000)
    assert play.state("c") == "EXPIRED 0/1"


def test_post_only_never_takes():
    play = Play()
    play.book(BIDS, ASKS)
    play.limit("a", "buy", "1", "100.00", post_only=True)
    assert play.state("a") == "REJECTED 0/1 POST_ONLY_WOULD_TAKE"
    play.limit("b", "buy", "1", "99.99", post_only=True)
    assert play.state("b") == "NEW 0/1"


def test_reduce_only_needs_something_to_reduce():
    play = Play()
    play.book(BIDS, ASKS)
    play.market("a", "sell", "1", reduce_only=True)
    assert play.state("a") == "REJECTED 0/1 INSUFFICIENT_BALANCE"
    play.market("b", "buy", "1")
    play.market("c", "sell", "0.5", reduce_only=True)
    assert play.state("c") == "FILLED 0.5/0.5"


def test_an_order_by_quote_amount_takes_whole_lots_for_what_is_left():
    play = Play()
    play.book(BIDS, ASKS)
    play.market("a", "buy", quote_quantity="150")
    # 50 USDT are left for the level at 100.10: 0.49950... floored to the lot of 0.0001
    assert play.fills() == ["a 1@100.00", "a 0.4995@100.10"]
    assert play.state("a") == "FILLED 1.4995/1.4995"
    play.market("b", "buy", quote_quantity="900")
    assert play.state("b").startswith("EXPIRED 6.5005/")
    play.market("c", "buy", quote_quantity="4.99")
    assert play.state("c") == "REJECTED 0/0 MIN_NOTIONAL"


@pytest.mark.parametrize(
    ("prevention", "fills", "maker", "taker"),
    [
        ("EXPIRE_MAKER", ["t 1@100.00", "t 1@100.10"], "EXPIRED 0/1 SELF_TRADE_PREVENTION", "FILLED 2/2"),
        ("EXPIRE_TAKER", ["t 1@100.00"], "NEW 0/1", "EXPIRED 1/2 SELF_TRADE_PREVENTION"),
        (
            "EXPIRE_BOTH",
            ["t 1@100.00"],
            "EXPIRED 0/1 SELF_TRADE_PREVENTION",
            "EXPIRED 1/2 SELF_TRADE_PREVENTION",
        ),
        ("NONE", ["t 1@100.00", "t 1@100.10"], "NEW 0/1", "FILLED 2/2"),
    ],
)
def test_an_order_that_meets_our_own(prevention, fills, maker, taker):
    """Our sell at 100.05 stands alone between the levels."""
    play = Play(Settings(self_trade=prevention), USDT="10000", BTC="1")
    play.book(BIDS, ASKS)
    play.limit("m", "sell", "1", "100.05")
    play.limit("t", "buy", "2", "100.10")
    assert play.fills() == fills
    assert play.state("m") == maker
    assert play.state("t") == taker


def test_an_own_order_that_the_taker_does_not_get_to_is_left_alone():
    """Our sell stands behind 1 public at 100.00; a taker of 1 never meets it, one of more does."""
    play = Play(USDT="10000", BTC="1")
    play.book(BIDS, ASKS)
    play.limit("m", "sell", "1", "100.00")
    play.market("a", "buy", "1")
    assert play.state("m") == "NEW 0/1"
    play.market("b", "buy", "1")
    assert play.state("m") == "EXPIRED 0/1 SELF_TRADE_PREVENTION"
    assert play.fills("b") == ["b 1@100.10"]
    assert play.balance("BTC") == "3 0"


def test_a_killed_fok_ends_no_maker():
    play = Play(USDT="10000", BTC="1")
    play.book(BIDS, ASKS)
    play.limit("m", "sell", "1", "100.05")
    play.limit("t", "buy", "9", "100.10", time_in_force="FOK")
    assert play.state("t") == "EXPIRED 0/9"
    assert play.state("m") == "NEW 0/1"


def test_without_a_book_best_bid_and_ask_are_all_there_is():
    play = Play()
    play.ticker("99.90*2", "100.00*1")
    play.market("a", "buy", "3")
    assert play.state("a") == "EXPIRED 1/3"
    play.ticker("99.90*2", "100.00*1")
    play.market("b", "buy", "1")
    assert play.state("b") == "REJECTED 0/1 NO_LIQUIDITY"
    play.ticker("99.90*2", "100.02*1")
    play.limit("c", "buy", "1", "100.02")
    assert play.fills("c") == ["c 1@100.02"]
    play.book("99.90*2", "100.04*1")
    play.ticker("99.90*2", "100.01*1")  # a book is better: the ticker counts no more
    play.market("d", "buy", "1")
    assert play.fills("d") == ["d 1@100.04"]
