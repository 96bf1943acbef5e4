"""Random faults over a time: the same seed gives the same ones."""

from random import Random
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from daemon.simulator.faults.specs import (
    AcceptThenDrop,
    AnyFault,
    BrokenChain,
    ClockSkew,
    Corrupt,
    CrossedBook,
    Cut,
    Drop,
    Duplicate,
    HalfOpen,
    Http,
    Mute,
    Reorder,
    SequenceReset,
    Slow,
    Truncate,
)

SHORTEST: Final = 2.0
LONGEST: Final = 20.0


class Chaos(BaseModel):
    """How much goes wrong, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=1, description="the same seed gives the same faults")
    seconds: float = Field(default=60.0, gt=0, le=86_400, description="how long faults begin")
    per_minute: float = Field(default=12.0, gt=0, le=600, description="how many begin in a minute")
    spare: tuple[str, ...] = Field(default=(), description="symbols whose messages are left alone")


def plan(chaos: Chaos, symbols: list[str]) -> list[AnyFault]:
    """Return the faults, in the order of their beginning. `symbols` are the exchange's names of all that it trades."""
    random = Random(chaos.seed)
    spared = {symbol.replace("/", "").upper() for symbol in chaos.spare}
    targets = [symbol for symbol in symbols if symbol not in spared]
    faults: list[AnyFault] = []
    after = random.expovariate(chaos.per_minute / 60)
    while after < chaos.seconds:
        faults.append(_one(random, round(after, 3), targets, sparing=bool(spared)))
        after += random.expovariate(chaos.per_minute / 60)
    return faults


def _one(random: Random, after: float, targets: list[str], *, sparing: bool) -> AnyFault:
    seconds = round(random.uniform(SHORTEST, LONGEST), 1)
    symbol = random.choice(targets)
    share = random.choice((0.01, 0.1, 0.5))
    of_symbol: list[AnyFault] = [
        Drop(after=after, seconds=seconds, symbol=symbol, probability=share),
        Duplicate(after=after, seconds=seconds, symbol=symbol, probability=share),
        Reorder(after=after, seconds=seconds, symbol=symbol, probability=share),
        Corrupt(after=after, seconds=seconds, symbol=symbol, probability=share),
        Truncate(after=after, seconds=seconds, symbol=symbol, probability=share),
        Mute(after=after, seconds=seconds, symbol=symbol),
        Slow(after=after, seconds=seconds, symbol=symbol, delay=round(random.uniform(0.1, 3.0), 1)),
        ClockSkew(after=after, seconds=seconds, symbol=symbol, channel="book", skew=random.choice((-90.0, 90.0))),
        BrokenChain(after=after, symbol=symbol, count=random.randint(1, 3)),
        CrossedBook(after=after, symbol=symbol, count=1),
        SequenceReset(after=after, symbol=symbol),
    ]
    of_connections: list[AnyFault] = [
        Cut(after=after),
        Cut(after=after, clean=False),
        Cut(after=after, notice=2.0),
        HalfOpen(after=after),
        AcceptThenDrop(after=after, seconds=seconds),
    ]
    of_requests: list[AnyFault] = [
        Http(after=after, seconds=seconds, status=429),
        Http(after=after, seconds=seconds, status=418),
        Http(after=after, seconds=seconds, status=random.choice((500, 502, 503))),
        Http(after=after, seconds=seconds, delay=round(random.uniform(0.5, 8.0), 1)),
    ]
    kinds = [of_symbol] * 6 + [of_requests] * 2 + ([] if sparing else [of_connections] * 2)
    return random.choice(random.choice(kinds))
