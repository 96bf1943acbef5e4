"""The gaps as the database has them: what is left to heal where the bus has forgotten it."""

from datetime import datetime
from typing import Any

import asyncpg

from bus.clock import MICROSECOND, SECOND, Clock
from bus.errors import StoreUnavailable, said
from bus.events import Gap

COLUMNS = "id, exchange, symbol, channel, from_ts, to_ts, from_id, to_id, state, reason, ts, detected_at"


class Ledger:
    """The table `feed_gaps`, read only: persistence writes it. All raise StoreUnavailable."""

    def __init__(self, pool: "asyncpg.Pool[Any]", clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def unsettled(self, exchange: str) -> list[Gap]:
        """Return the gaps of an exchange of which nobody has said what becomes of them."""
        rows = await self._rows("exchange = $1 and state in ('open', 'filling')", exchange)
        return [self._open(row) for row in rows]

    async def find(self, identity: str) -> Gap | None:
        """Return a gap as if it had just been found, None where there is none."""
        rows = await self._rows("id = $1", identity)
        return self._open(rows[0]) if rows else None

    async def _rows(self, condition: str, argument: str) -> "list[asyncpg.Record]":
        try:
            return await self._pool.fetch(f"select {COLUMNS} from feed_gaps where {condition}", argument)  # noqa: S608 # our own words
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(f"cannot read the gaps: {said(error)}") from error

    def _open(self, row: "asyncpg.Record") -> Gap:
        reason = row["reason"].partition("; ")[0]
        return Gap(
            self._clock.now(), row["id"], row["exchange"], row["symbol"], row["channel"], _ns(row["from_ts"]),
            _ns(row["to_ts"]), row["from_id"], row["to_id"], "open", reason,
        )  # fmt: skip


def _ns(moment: datetime | None) -> int | None:
    """Return a database time in ns, exactly."""
    if moment is None:
        return None
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * MICROSECOND
