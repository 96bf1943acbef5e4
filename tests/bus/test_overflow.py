"""What is said of events that the disk has not given back."""

from pathlib import Path

import pytest

from bus.clock import SystemClock
from bus.events import OWN_LOSS, Event, Feed
from bus.redis import overflow
from bus.redis.overflow import Overflow
from bus.redis.spool import Spool
from bus.streams import StreamNames
from tests.bus.helpers import numbers, trade, trades


def opened(folder: Path) -> Overflow:
    return Overflow(Spool(folder, 10**9), None, StreamNames("md"), SystemClock())


def spoil(folder: Path, number: int, position: int) -> None:
    """Change a byte of one of the files."""
    file = sorted((folder / "0").glob("*.spool"))[number]
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


async def drained(kept: Overflow) -> list[Event]:
    found = []
    while not kept.empty:
        found += await kept.next()
    return found


def told(events: list[Event]) -> list[tuple[str, str, int, str]]:
    """The reports, each as exchange, channel, moment and state; the reason is the same for all that say why."""
    reports = [event for event in events if isinstance(event, Feed)]
    assert all(report.reason.startswith(OWN_LOSS) for report in reports if report.state == "down")
    assert {report.symbol for report in reports} == {"*"}
    return [(report.exchange, report.channel, report.ts, report.state) for report in reports]


async def test_where_a_file_is_damaged_every_exchange_may_miss_something_after_what_was_read(tmp_path: Path):
    kept = opened(tmp_path)
    await kept.put([trade(5, "okx"), *trades(1, 10)])
    await kept.put(trades(10, 20))
    spoil(tmp_path, 0, -5)
    found = await drained(kept)
    assert numbers(found) == [5, *range(1, 10)]
    assert told(found) == [
        ("okx", "*", 6, "down"), ("okx", "*", 6, "live"), ("binance", "*", 10, "down"), ("binance", "*", 10, "live"),
    ]  # fmt: skip
    kept.close([])


async def test_where_nothing_could_be_read_the_hole_begins_with_the_first_event_that_was_kept(tmp_path: Path):
    kept = opened(tmp_path)
    await kept.put(trades(1, 10))
    assert numbers(await drained(kept)) == list(range(1, 10))
    await kept.next()
    await kept.put(trades(100, 110))  # another outage
    spoil(tmp_path, 0, 20)
    assert told(await drained(kept)) == [("binance", "*", 101, "down"), ("binance", "*", 101, "live")]
    kept.close([])


async def test_what_an_earlier_process_left_unreadable_is_told_with_the_first_event_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(overflow, "newest_receipt", nothing)
    earlier = opened(tmp_path)
    await earlier.put(trades(10, 20))
    earlier.close(trades(1, 10))
    spoil(tmp_path, 0, 20)
    kept = opened(tmp_path)
    found = await drained(kept)
    assert numbers(found) == list(range(10, 20))
    assert told(found) == [("binance", "*", 10, "down"), ("binance", "*", 10, "live")]
    kept.close([])
