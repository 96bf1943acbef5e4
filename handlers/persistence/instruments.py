"""Instruments in the database: the short ids that event tables are keyed by, and the limits the exchange states."""

from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"
Name: TypeAlias = tuple[str, str]
"""Exchange and unified symbol."""

_TEXTS: Final = ("exchange", "symbol", "native", "base", "quote", "kind")
_LIMITS: Final = ("tick_size", "lot_size", "min_amount", "min_notional", "contract_size")
_STATED: Final = (*_TEXTS[2:], "active", *_LIMITS)


class Instrument(Protocol):
    """A tradable symbol and its limits as decimal strings, as an exchange's translator has it."""

    @property
    def exchange(self) -> str: ...  # noqa: D102 # the events' own names
    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def native(self) -> str: ...  # noqa: D102
    @property
    def base(self) -> str: ...  # noqa: D102
    @property
    def quote(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def active(self) -> bool: ...  # noqa: D102
    @property
    def tick_size(self) -> str | None: ...  # noqa: D102
    @property
    def lot_size(self) -> str | None: ...  # noqa: D102
    @property
    def min_amount(self) -> str | None: ...  # noqa: D102
    @property
    def min_notional(self) -> str | None: ...  # noqa: D102
    @property
    def contract_size(self) -> str | None: ...  # noqa: D102


async def learn_ids(connection: "Connection | asyncpg.Pool[Any]", names: set[Name]) -> dict[Name, int]:
    """Return the id of every name, making those that are new; several processes may do this at once."""
    found = await _ids(connection, names)
    new = names - found.keys()
    if new:
        # Asked for first, because even an insert that does nothing uses up an id.
        await connection.execute(
            "insert into md.instruments (exchange, symbol) select * from unnest($1::text[], $2::text[]) "
            "on conflict do nothing", *_columns(new),
        )  # fmt: skip
        found |= await _ids(connection, new)
    return found


async def _ids(connection: "Connection | asyncpg.Pool[Any]", names: set[Name]) -> dict[Name, int]:
    rows = await connection.fetch(
        "select instrument_id, exchange, symbol from md.instruments "
        "join unnest($1::text[], $2::text[]) as wanted (exchange, symbol) using (exchange, symbol)", *_columns(names),
    )  # fmt: skip
    return {(row["exchange"], row["symbol"]): row["instrument_id"] for row in rows}


def _columns(names: set[Name]) -> tuple[list[str], list[str]]:
    ordered = sorted(names)  # one order for all processes, so that they cannot lock each other out
    return [exchange for exchange, _ in ordered], [symbol for _, symbol in ordered]


_UPSERT: Final = (
    f"insert into md.instruments as old (exchange, symbol, {', '.join(_STATED)}) "  # noqa: S608 # our own names
    f"select {', '.join((*_TEXTS, 'active', *(f'{name}::numeric' for name in _LIMITS)))} from unnest("
    f"{', '.join(f'${at}::text[]' for at in range(1, 7))}, $7::boolean[], "
    f"{', '.join(f'${at}::text[]' for at in range(8, 13))}"
    f") as given (exchange, symbol, {', '.join(_STATED)}) on conflict (exchange, symbol) do update set "
    f"{', '.join(f'{name} = excluded.{name}' for name in _STATED)}, updated_at = now() "
    f"where ({', '.join(f'old.{name}' for name in _STATED)}) "
    f"is distinct from ({', '.join(f'excluded.{name}' for name in _STATED)})"
)


async def store_instruments(connection: "Connection | asyncpg.Pool[Any]", instruments: Iterable[Instrument]) -> int:
    """Store what exchanges state of their instruments; return how many are new or changed.

    A row's `ts` is when what it says last changed. Raises asyncpg.PostgresError.
    """
    unique = {(instrument.exchange, instrument.symbol): instrument for instrument in instruments}
    ordered = [unique[name] for name in sorted(unique)]
    columns = [[getattr(instrument, name) for instrument in ordered] for name in (*_TEXTS, "active", *_LIMITS)]
    status = await connection.execute(_UPSERT, *columns, timeout=60.0)
    return int(status.rpartition(" ")[2])
