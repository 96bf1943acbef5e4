"""The gaps that wait: newest first, remembered over restarts, tried again with pauses."""

import asyncio
from random import Random

from bus.clock import SECOND, ManualClock
from bus.events import Gap
from bus.local import LocalState
from daemon.healing import GapQueue


def gap(name: str, end: int = 10, state: str = "open", exchange: str = "binance") -> Gap:
    return Gap(5, name, exchange, "BTC/USDT", "trade", 1, end * SECOND, "1", "9", state, "2 trades missing by id")


class Waiting:
    """A queue under a clock that stands still unless it is moved."""

    def __init__(self, state: LocalState | None = None) -> None:
        self.clock = ManualClock()
        self.state = state or LocalState()
        self.queue = GapQueue("binance", self.state, self.clock, Random(1))

    def next(self) -> str | None:
        """The gap that may be tried now, None where there is none."""

        async def look() -> str | None:
            task = asyncio.create_task(self.queue.next())
            for _ in range(5):
                await asyncio.sleep(0)
            if task.done():
                return task.result()[0].id
            task.cancel()
            return None

        return asyncio.run(look())

    def note(self, *gaps: Gap) -> None:
        asyncio.run(self.queue.note(gaps))


def test_the_newest_comes_first_and_stays_until_it_is_settled():
    waiting = Waiting()
    waiting.note(gap("old", 10), gap("new", 30), gap("middle", 20))
    assert [waiting.next(), waiting.next()] == ["new", "new"]
    waiting.note(gap("new", 30, "filling"))
    assert waiting.next() == "new"
    waiting.note(gap("new", 30, "filled"))
    assert waiting.next() == "middle"
    waiting.note(gap("middle", 20, "unfillable"), gap("old", 10, "filled"))
    assert waiting.next() is None
    assert len(waiting.queue) == 0


def together(*gaps: Gap) -> list[str]:
    """Which of some gaps are healed first, together."""
    queue = Waiting().queue
    asyncio.run(queue.note(gaps))
    return [gap.id for gap in asyncio.run(queue.next())]


def by_id(name: str, first: int, last: int, symbol: str = "BTC/USDT", channel: str = "trade") -> Gap:
    return Gap(5, name, "binance", symbol, channel, 1, last * SECOND, str(first), str(last), "open", "missing by id")


def test_neighbours_are_healed_with_the_newest_by_one_request():
    found = together(
        by_id("newest", 5_000, 5_001),
        by_id("near", 4_950, 4_960),
        by_id("nearer", 4_990, 4_990),
        by_id("at the end of a page", 4_002, 4_010),
        by_id("beyond", 4_001, 4_001),
        by_id("other", 4_999, 4_999, symbol="ETH/USDT"),
        by_id("book", 4_998, 4_998, channel="book"),
    )
    assert found == ["newest", "nearer", "near", "at the end of a page"]


def by_time(name: str, start: int, end: int, symbol: str = "BTC/USDT", channel: str = "trade") -> Gap:
    return Gap(5, name, "binance", symbol, channel, start * SECOND, end * SECOND, None, None, "open", "cut off")


def test_gaps_in_the_same_minutes_are_healed_with_the_newest():
    found = together(
        by_time("newest", 605, 610),
        by_time("same minute", 600, 601),
        by_time("begins before", 530, 604),
        by_time("in the minutes of that", 482, 483),
        by_time("before them", 470, 479),
        by_time("other", 605, 606, symbol="ETH/USDT"),
        by_time("candle", 605, 606, channel="candle"),
        by_id("by id", 606, 607),
        Gap(5, "endless", "binance", "BTC/USDT", "trade", 600 * SECOND, None, None, None, "open", "cut off"),
    )
    assert found == ["newest", "same minute", "begins before", "in the minutes of that"]


def test_a_page_has_an_end():
    queue = Waiting().queue
    asyncio.run(queue.note([by_id(str(number), number, number) for number in range(10_000, 13_000, 50)]))
    together = asyncio.run(queue.next())
    assert [int(gap.id) for gap in together] == list(range(12_950, 11_950, -50))


def test_a_restart_forgets_none_and_another_process_hears_of_all():
    first = Waiting()
    first.note(gap("a"), gap("b", 20))
    second = Waiting(first.state)
    assert second.next() == "b"
    first.note(gap("b", 20, "filled"))
    second.clock.advance(3)
    assert second.next() == "a"


def test_one_that_is_postponed_lets_the_others_pass_and_comes_back_later_each_time():
    waiting = Waiting()
    waiting.note(gap("a", 10), gap("b", 20))
    waiting.queue.postpone(gap("b", 20))
    assert waiting.next() == "a"
    pauses = []
    for _ in range(12):
        waited = 0
        while waiting.next() != "b":
            waiting.clock.advance(1)
            waited += 1
        pauses.append(waited)
        waiting.queue.postpone(gap("b", 20))
    assert max(pauses) <= 600
    assert sum(pauses[6:]) > 10 * sum(pauses[:3])
    assert waiting.queue.attempts(gap("b", 20)) == 13


def test_what_cannot_be_judged_yet_waits_for_its_time():
    waiting = Waiting()
    waiting.note(gap("a"))
    waiting.queue.delay(gap("a"), 7)
    waiting.clock.advance(6)
    assert waiting.next() is None
    waiting.clock.advance(1)
    assert waiting.next() == "a"


def test_gaps_known_from_elsewhere_are_taken_up_once():
    waiting = Waiting()
    waiting.note(gap("a"))
    asyncio.run(waiting.queue.recall([gap("a"), gap("b", 20)]))
    assert len(waiting.queue) == 2
    assert Waiting(waiting.state).next() == "b"
