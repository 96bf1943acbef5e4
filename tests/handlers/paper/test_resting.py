"""Orders that rest: what fills them, the queue before them, shared prints, stale books, amending (3, 4, 6, 8, 15)."""

from bus.events import Book
from tests.handlers.paper.play import EXCHANGE, SYMBOL, Play


def _play(bids: str = "100.00*10 99.90*50", asks: str = "100.10*10") -> Play:
    play = Play()
    play.book(bids, asks)
    return play


def test_a_print_at_the_price_fills_once_the_queue_is_used_up():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.trade("buy", "100.00*50")  # hits the other side
    play.trade("sell", "100.00*8")
    assert play.fills() == []
    play.trade("sell", "100.00*3")
    play.trade("sell", "100.00*9")
    assert play.fills() == ["a 1@100.00 m", "a 4@100.00 m"]


def test_a_print_through_the_price_fills_at_the_limit_up_to_its_size():
    play = _play()
    play.limit("a", "buy", "2", "100.00")
    play.trade("sell", "99.95*0.5")
    assert play.fills() == ["a 0.5@100.00 m"]


def test_the_other_side_reaching_the_price_fills_at_the_limit_up_to_what_is_displayed():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.book("99.80*1", "99.90*1 100.00*2 100.10*9")
    assert play.fills() == ["a 1@100.00 m", "a 2@100.00 m"]
    play.book("99.80*1", "99.90*1 100.00*2 100.10*9")  # the same again is nothing new
    assert play.state("a") == "PARTIALLY_FILLED 3/5"
    play.level("ask", "100.00*2.5")
    assert play.state("a") == "FILLED 5/5"


def test_the_queue_shrinks_with_the_level_and_never_grows():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.level("bid", "100.00*4")
    play.level("bid", "100.00*80")
    play.trade("sell", "100.00*5")
    assert play.fills() == ["a 1@100.00 m"]


def test_the_queue_is_gone_when_the_level_goes():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.book("99.90*50", "100.10*10")
    play.book("100.00*80 99.90*50", "100.10*10")
    play.trade("sell", "100.00*1")
    assert play.fills() == ["a 1@100.00 m"]


def test_prints_and_shrinking_both_count_each_once():
    """Of 10 ahead 4 trade, then the level shows 6: still 6 ahead, not 2."""
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.trade("sell", "100.00*4")
    play.level("bid", "100.00*6")
    play.trade("sell", "100.00*6")
    assert play.fills() == []
    play.trade("sell", "100.00*1")
    assert play.fills() == ["a 1@100.00 m"]


def test_one_print_is_shared_in_price_time_order():
    play = _play()
    play.limit("old", "buy", "2", "100.00")
    play.limit("young", "buy", "2", "100.00")
    play.limit("best", "buy", "2", "100.05")
    play.trade("sell", "100.00*15")  # 2 to the better price, 10 public, 2 and 1 to ours
    assert play.fills() == ["best 2@100.05 m", "old 2@100.00 m", "young 1@100.00 m"]


def test_a_print_too_small_for_all_stops_with_the_first():
    play = _play()
    play.limit("better", "buy", "2", "100.05")
    play.limit("worse", "buy", "2", "100.00")
    play.trade("sell", "99.95*3")
    assert play.fills() == ["better 2@100.05 m", "worse 1@100.00 m"]


def test_one_level_is_shared_too():
    play = _play()
    play.limit("worse", "buy", "2", "100.00")
    play.limit("better", "buy", "2", "100.05")
    play.book("99.80*1", "99.90*3")
    assert play.fills() == ["better 2@100.05 m", "worse 1@100.00 m"]
    play.market("taker", "buy", "1")
    assert play.state("taker") == "REJECTED 0/1 NO_LIQUIDITY"


def test_an_order_of_ours_in_the_queue_keeps_its_place_when_another_leaves():
    play = _play()
    play.limit("a", "buy", "2", "100.00")
    play.level("bid", "100.00*14")
    play.limit("b", "buy", "2", "100.00")  # 4 public between them
    play.cancel("a")
    play.trade("sell", "100.00*15")
    assert play.fills() == ["b 1@100.00 m"]


def test_a_print_proves_better_levels_gone_until_they_are_stated_again():
    play = _play(bids="100.00*10 99.90*50 99.80*50", asks="100.10*10")
    play.market("a", "buy", "8")
    play.trade("sell", "99.90*1")
    play.market("b", "sell", "1")
    assert play.fills("b") == ["b 1@99.90"]
    play.level("bid", "99.70*1")  # says nothing of 100.00
    play.market("c", "sell", "1")
    assert play.fills("c") == ["c 1@99.90"]
    play.level("bid", "100.00*10")
    play.market("d", "sell", "1")
    assert play.fills("d") == ["d 1@100.00"]
    play.trade("buy", "100.30*1")
    play.market("e", "buy", "1")
    assert play.state("e") == "REJECTED 0/1 NO_LIQUIDITY"


def test_a_level_that_a_print_proved_gone_is_fresh_when_it_is_stated_again():
    play = Play(USDT="0", BTC="20")
    play.book("100.00*10 99.90*50", "100.10*10")
    play.market("a", "sell", "10")
    play.book("100.00*10 99.90*50", "100.10*10")
    play.market("b", "sell", "1")
    assert play.fills() == ["a 10@100.00", "b 1@99.90"]
    play.trade("sell", "99.90*1")
    play.book("100.00*10 99.90*50", "100.10*10")
    play.market("c", "sell", "1")
    assert play.fills("c") == ["c 1@100.00"]


def test_no_public_order_is_before_ours_after_a_print_through_the_price():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.trade("sell", "99.95*1")
    play.trade("sell", "100.00*1")
    assert play.fills() == ["a 1@100.00 m", "a 1@100.00 m"]


def test_less_keeps_the_place_in_the_queue():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.limit("b", "buy", "5", "100.00")
    play.amend("a", quantity="3")
    play.trade("sell", "100.00*14")
    assert play.fills() == ["a 3@100.00 m", "b 1@100.00 m"]
    assert play.state("a") == "FILLED 3/3"


def test_more_goes_to_the_end_of_the_queue():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.limit("b", "buy", "5", "100.00")
    play.amend("a", quantity="6")
    play.trade("sell", "100.00*16")
    assert play.fills() == ["b 5@100.00 m", "a 1@100.00 m"]


def test_a_new_price_queues_anew_and_may_take():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.amend("a", price="99.90")
    play.trade("sell", "99.90*51")
    assert play.fills() == ["a 1@99.90 m"]
    play.book("99.90*50", "100.10*10")
    play.amend("a", price="100.10")
    assert play.fills()[1:] == ["a 4@100.10"]


def test_an_amend_that_cannot_be_leaves_the_order_as_it_is():
    play = _play()
    play.limit("a", "buy", "50", "100.00")
    before = play.balance("USDT")
    play.amend("a", quantity="500")
    play.amend("a", price="100.005")
    play.amend("a", quantity="0.00001")
    play.amend("a", quantity="0.0001")
    play.amend("b", quantity="1")
    assert play.refused() == [
        "a INSUFFICIENT_BALANCE",
        "a PRICE_FILTER",
        "a LOT_SIZE",
        "a MIN_NOTIONAL",
        "b UNKNOWN_ORDER",
    ]
    assert play.balance("USDT") == before
    play.trade("sell", "100.00*11")
    assert play.fills() == ["a 1@100.00 m"]


def test_a_break_in_the_book_fills_nothing_until_the_next_snapshot():
    play = _play()
    play.limit("a", "buy", "5", "100.00")
    play.t += 1
    now = play.t * 1_000_000
    play.event(Book(EXCHANGE, SYMBOL, now, now, "ws", "snapshot", [("100.00", "10")], [("100.10", "10")], 1, 1))
    for first in (2, 9):  # 2 follows, 9 does not
        play.t += 1
        now = play.t * 1_000_000
        delta = [("100.10", "9")] if first == 2 else [("99.50", "9")]
        play.event(Book(EXCHANGE, SYMBOL, now, now, "ws", "delta", [], delta, first, first))
    assert play.fills() == []
    play.market("b", "buy", "1")
    assert play.state("b") == "REJECTED 0/1 NO_LIQUIDITY"
    play.t += 1
    again = play.t * 1_000_000
    play.event(Book(EXCHANGE, SYMBOL, again, again, "ws", "delta", [], [("100.10", "7")], 10, 10))
    play.market("d", "buy", "1")
    assert play.state("d") == "REJECTED 0/1 NO_LIQUIDITY"
    play.trade("sell", "100.00*11")  # prints are known still
    assert play.fills() == ["a 1@100.00 m"]
    play.book("100.00*1", "100.10*9")
    play.market("c", "buy", "1")
    assert play.fills("c") == ["c 1@100.10"]


def test_orders_that_came_to_a_queue_later_than_they_were_sent_stay_behind_after_a_restart():
    play = _play()
    play.trade("buy", "100.10*1")
    play.order("fired", "buy", "stop_limit", "1", stop_price="100.20", price="100.00")
    play.limit("amended", "buy", "1", "99.95")
    play.limit("plain", "buy", "1", "100.00")
    play.amend("amended", price="100.00")
    play.trade("buy", "100.20*1")
    play.restart()
    play.trade("sell", "100.00*11")
    play.trade("sell", "100.00*1")
    play.trade("sell", "100.00*1")
    assert play.fills() == ["plain 1@100.00 m", "amended 1@100.00 m", "fired 1@100.00 m"]


def test_a_take_profit_that_grows_goes_to_the_end_of_the_queue_and_stays_there_after_a_restart():
    play = Play(USDT="1000", BTC="1")
    play.book("99.00*1", "100.00*1")
    play.limit("e", "buy", "2", "100.00", take_profit="110.00")
    play.limit("plain", "sell", "1", "110.00")
    play.trade("sell", "99.50*1")
    assert play.state("e:tp") == "NEW 0/2"
    play.restart()
    play.trade("buy", "110.00*1.5")
    assert play.fills()[2:] == ["plain 1@110.00 m", "e:tp 0.5@110.00 m"]
