"""What is left to heal is read from the database as exactly as it was written."""

import asyncpg
import pytest

from bus.clock import ManualClock
from bus.errors import StoreUnavailable
from bus.events import Gap
from bus.handler import Batch
from bus.local import LocalState
from daemon.healing import Ledger
from handlers.persistence import PersistenceHandler
from migrations.runner import migrate

OPEN = Gap(
    7_000, "a", "x", "A/B", "trade", 1_723_161_240_123_456_000, 1_723_161_241_000_000_000, "5", "9", "open", "5 missing"
)


async def test_open_and_half_filled_gaps_are_left_and_settled_ones_are_not(database):
    await migrate(database)
    persistence = PersistenceHandler(database)
    await persistence.start(LocalState())
    others = [("b", "filling", "x"), ("c", "filled", "x"), ("d", "unfillable", "x"), ("e", "open", "y")]
    gaps = [
        Gap(7_000, n, e, "A/B", "trade", None, None, None, None, state, "why; since then") for n, state, e in others
    ]
    await persistence.handle(Batch([OPEN, *gaps]))
    await persistence.close()
    clock = ManualClock()
    async with asyncpg.create_pool(database, min_size=0) as pool:
        ledger = Ledger(pool, clock)
        found = {gap.id: gap for gap in await ledger.unsettled("x")}
        assert set(found) == {"a", "b"}
        a = found["a"]
        assert (a.from_ts, a.to_ts, a.from_id, a.to_id, a.reason) == (
            OPEN.from_ts, OPEN.to_ts, OPEN.from_id, OPEN.to_id, OPEN.reason,
        )  # fmt: skip
        assert (found["b"].state, found["b"].reason, found["b"].from_ts) == ("open", "why", None)
        settled = await ledger.find("d")
        assert settled is not None
        assert settled.state == "open"
        assert await ledger.find("nothing") is None


async def test_a_database_that_is_away_is_said_so():
    async with asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0) as pool:
        with pytest.raises(StoreUnavailable, match="cannot read the gaps"):
            await Ledger(pool, ManualClock()).unsettled("x")
