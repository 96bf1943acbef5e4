"""What is missing: the gaps that were found, and what became of them."""

from datetime import datetime

import msgspec

from bus.events import GapState
from daemon.storage.database import connected
from daemon.storage.feeds import Selection


class StoredGap(msgspec.Struct, frozen=True):
    """A row of `feed_gaps`."""

    id: str
    exchange: str
    symbol: str
    channel: str
    from_ts: datetime | None
    to_ts: datetime | None
    from_id: str | None
    to_id: str | None
    state: GapState
    reason: str


async def gaps(dsn: str, selection: Selection, states: tuple[str, ...]) -> list[StoredGap]:
    """Return the gaps of a selection in these states, oldest first; one of a whole connection concerns every symbol.

    Raises StoreUnavailable.
    """
    async with connected(dsn) as connection:
        rows = await connection.fetch(
            "select id, exchange, symbol, channel, from_ts, to_ts, from_id, to_id, state, reason from feed_gaps "
            "where exchange = coalesce($1, exchange) and ($2::text is null or symbol in ($2, '*')) "
            "and ($3::text is null or split_part(channel, ':', 1) in ($3, '*')) and state = any($4) "
            "and coalesce(to_ts, 'infinity') >= coalesce(md.at($5), '-infinity') "
            "and coalesce(from_ts, '-infinity') < coalesce(md.at($6), 'infinity') "
            "and ($7::text is null or (channel = 'candle' and (reason like $7 || ': %' "
            "or reason !~ '^[0-9]+[smhdwM]: '))) order by coalesce(from_ts, detected_at), id",
            selection.exchange, selection.symbol, selection.channel, list(states), selection.since, selection.until,
            selection.timeframe,
        )  # fmt: skip
        return [StoredGap(**row) for row in rows]
