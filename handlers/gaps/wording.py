"""How a gap is named and described: what is missing decides its id, so that finding it twice is finding one gap."""

import hashlib
from typing import Literal, TypeAlias

from bus import timeframes
from bus.events import Gap, GapState
from handlers.gaps.books import Missing
from handlers.gaps.interruptions import Interval
from handlers.gaps.ranges import Hole

Kind: TypeAlias = Literal["trade", "candle", "book", "feed"]
Key: TypeAlias = tuple[Kind, str, str, str]
"""What is followed: how, exchange, symbol, and the timeframe of candles or the channel of a feed without ids."""


def identity(key: Key, first: int, last: int) -> str:
    """Return the id of what is missing between two numbers or times."""
    return hashlib.sha256(f"{'|'.join(key)}|{first}|{last}".encode()).hexdigest()[:24]


def hole(key: Key, hole: Hole, ts: int, state: GapState) -> Gap:
    """Word missing trades or candles. A candle gap's reason begins with its timeframe, as in `1m: 2 closed …`.

    Trades have the missing ids and the neighbours' times; candles the time from the first missing opening to the end
    of the last missing candle.
    """
    channel, exchange, symbol, timeframe = key
    own = identity(key, hole.first, hole.last)
    count = hole.last - hole.first + 1
    late = "all of it came late, or what is left is told as gaps of its own"
    if channel == "candle":
        start = timeframes.following(timeframe, hole.from_ts)
        reason = f"{timeframe}: " + (late if state == "filled" else f"{count} closed candle{'s' * (count > 1)} missing")
        return Gap(ts, own, exchange, symbol, channel, start, hole.to_ts, None, None, state, reason)
    reason = late if state == "filled" else f"{count} trade{'s' * (count > 1)} missing by id"
    first, last = str(hole.first), str(hole.last)
    return Gap(ts, own, exchange, symbol, channel, hole.from_ts, hole.to_ts, first, last, state, reason)


def book(key: Key, missing: Missing, ts: int) -> Gap:
    """Word missing book changes."""
    reason = "the exchange keeps no history of order-book changes; the book itself starts again from a snapshot"
    if missing.ids is None:
        own, first, last = identity(key, missing.from_ts, missing.to_ts), None, None
        reason = f"the exchange has begun to count anew; {reason}"
    else:
        own, first, last = identity(key, *missing.ids), *map(str, missing.ids)
    return Gap(ts, own, key[1], key[2], "book", missing.from_ts, missing.to_ts, first, last, "unfillable", reason)


def interruption(key: Key, interval: Interval, ts: int) -> Gap:
    """Word an interruption of a feed without continuous ids; trades alone can be asked for again."""
    _, exchange, symbol, channel = key
    start, end, reason = interval
    state: GapState = "open" if channel == "trade" else "unfillable"
    if state == "unfillable":
        reason += f"; the exchange keeps no history of {channel} messages"
    return Gap(ts, identity(key, start, end), exchange, symbol, channel, start, end, None, None, state, reason)
