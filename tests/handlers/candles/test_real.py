"""Real trades make the venue's own candles, and a month of real minutes makes what an independent computation says."""

import csv
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bus.clock import SECOND
from bus.events import Candle, Trade
from tests.handlers.candles.test_candles import MINUTE, Row, flags, last_word, own, play, trade

LENGTHS = {"5m": 5, "1h": 60, "1d": 1_440}


def kraken(recordings: Path) -> tuple[list[Trade], list[Candle]]:
    """Trades and one-minute candles of one market, as its REST API gave them."""
    names = ("kraken_XBTUSDT_trades_rest_20251110.json.gz", "kraken_XBTUSDT_ohlc_1m_rest_20251110.json.gz")
    prints, bars = (
        json.loads(gzip.decompress((recordings / "candles" / name).read_bytes()))["result"]["XBTUSDT"] for name in names
    )
    trades = [trade(row[6], round(row[2] * 1e6) * 1_000, row[0], row[1]) for row in prints]
    candles = [
        own("1m", row[0] * SECOND, row[1], row[2], row[3], row[4], row[6], recv=row[0] * SECOND + MINUTE)
        for row in bars
    ]
    return trades, [c for c in candles if trades[0].recv < c.open_ts and c.open_ts + MINUTE < trades[-1].recv]


async def test_real_trades_make_the_venues_own_candles(recordings):
    trades, candles = kraken(recordings)
    built = last_word(await play(trades, cuts=7), "1m")
    stated = {c.open_ts: tuple(map(Decimal, (c.open, c.high, c.low, c.close, c.volume))) for c in candles}
    traded = {opening: row for opening, row in stated.items() if row[4]}
    assert len(traded) > 250
    assert {opening: built.get(opening) for opening in traded} == traded
    together = sorted([*trades, *candles], key=lambda e: e.recv)
    assert flags(await play(together, cuts=7)) == []
    # and a candle that is wrong is found
    wrong = next(e for e in together if type(e) is Candle and e.volume != "0.00000000")
    changed = [
        own("1m", e.open_ts, e.open, "999999", e.low, e.close, e.volume, recv=e.recv) if e is wrong else e
        for e in together
    ]  # type: ignore[union-attr]
    assert [reference for reference, _ in flags(await play(changed, cuts=7))] == [f"candle:1m:{wrong.open_ts}"]


def grouped(rows: Sequence[tuple[int, Row]], minutes: int) -> dict[int, Row]:
    """Longer candles of one-minute candles, computed in the plainest way."""
    groups: dict[int, list[Row]] = {}
    for opening, row in rows:
        groups.setdefault(opening // (minutes * MINUTE) * minutes * MINUTE, []).append(row)
    return {
        opening: (
            group[0][0], max(r[1] for r in group), min(r[2] for r in group), group[-1][3],
            sum((r[4] for r in group), Decimal()),
        )
        for opening, group in groups.items()
    }  # fmt: skip


@pytest.mark.parametrize("cuts", [1, 997])
async def test_a_month_of_real_minutes_makes_longer_candles(recordings, cuts: int):
    days = 31 if cuts > 1 else 3
    with gzip.open(recordings / "candles" / "btc-perp_1m_20211231-20220201.csv.gz", "rt") as text:
        table = list(csv.reader(text))[1 : 1 + days * 1_440]
    rows = [(round(datetime.fromisoformat(r[0]).replace(tzinfo=UTC).timestamp()) * SECOND, r[1:6]) for r in table]
    told = await play([own("1m", at, *values, recv=at + MINUTE) for at, values in rows], cuts=cuts)
    exact = [(at, tuple(map(Decimal, values))) for at, values in rows]
    for timeframe, minutes in LENGTHS.items():
        expected = {at: row for at, row in grouped(exact, minutes).items() if at >= rows[0][0]}  # type: ignore[arg-type]
        assert last_word(told, timeframe) == expected
