"""An export holds exactly the rows of the database, survives being cut, and never loses what the database lost."""

import csv
import gzip
import hashlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pyarrow.parquet as pq
import pytest

from bus.clock import ManualClock
from daemon.storage.export import Exported, export
from daemon.storage.feeds import Selection
from daemon.storage.formats import Unfit
from tests.daemon.storage.rows import MINUTE, START, candles, everything, instruments, ns, trades

BTC_1M = "x/BTC-USDT/1m/2024.csv.gz"


async def run(dsn: str, folder: Path, form: str, **selection: object) -> Exported:
    return await export(dsn, Selection(**selection), folder, form, ManualClock(), lambda done, total: None)


def lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def metadata(path: Path) -> dict:
    return json.loads(path.with_name(path.name.split(".")[0] + ".metadata.json").read_text())


async def test_candles_as_csv_are_the_rows_with_their_quality_and_checksum(
    database: str, sql: asyncpg.Connection, tmp_path: Path
):
    await instruments(sql)
    await candles(sql)
    await sql.execute("delete from md.candles where open_ts = $1", START + 7 * MINUTE)
    done = await run(database, tmp_path, "csv")
    assert done == Exported(written=1, unchanged=0, rows=299)
    path = tmp_path / BTC_1M
    found = lines(path)
    stored = await sql.fetch("select * from md.candles order by open_ts")
    assert list(found[0]) == ["open_ts", "open", "high", "low", "close", "volume", "trades", "closed", "ts", "recv_ns",
                              "source"]  # fmt: skip
    assert [
        (datetime.fromisoformat(r["open_ts"]), Decimal(r["high"]), r["low"], int(r["trades"]), r["closed"] == "t")
        for r in found
    ] == [(r["open_ts"], r["high"], str(r["low"]), r["trades"], r["closed"]) for r in stored]
    assert found[0]["open_ts"] == "2024-08-08T22:00:00.000000Z"
    about = metadata(path)
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["bytes"] == path.stat().st_size
    assert about["rows"] == 299
    assert {day: entry["rows"] for day, entry in about["days"].items()} == {"2024-08-08": 119, "2024-08-09": 180}
    assert about["quality"]["completeness"] == pytest.approx(298 / 299, abs=1e-6)
    assert about["quality"]["counts"]["rows"] == 299


async def test_every_table_as_parquet_has_the_same_rows_and_exact_numbers(
    database: str, sql: asyncpg.Connection, tmp_path: Path
):
    await everything(sql)
    await sql.execute("update md.trades set price = 0.000000000000000001, amount = 12345678901234567890 where id = '3'")
    done = await run(database, tmp_path, "parquet")
    files = sorted(tmp_path.rglob("*.parquet"))
    assert done.written == len(files)
    assert done.rows == 400 + 50 + 300 + 30 + 300 + 20 + 40 + 5 + 20 + 20 + 3
    assert tmp_path / "x/BTC-USDT/trade/2024-08-08.parquet" in files
    assert tmp_path / "x/BTC-USDT/1h/2024.parquet" in files
    rows = [row for path in files if "/trade/" in str(path) and "BTC" in str(path)
            for row in pq.read_table(path).to_pylist()]  # fmt: skip
    stored = await sql.fetch("select ts, id, price, amount, side, recv_ns, source from md.trades "
                             "where instrument_id = 1 order by ts")  # fmt: skip
    assert [(r["ts"], r["id"], r["price"], r["amount"], r["side"], r["recv_ns"], r["source"]) for r in rows] == [
        tuple(row) for row in stored
    ]
    (book,) = [path for path in files if "book_snapshot" in str(path) and "08-09" in str(path)] or [None]
    assert book is not None
    assert pq.read_table(book).to_pylist()[0]["bids"] == [
        {"price": Decimal("99.5"), "amount": Decimal(1)}, {"price": Decimal(99), "amount": Decimal("2.5")},
    ]  # fmt: skip
    quotes = pq.read_table(tmp_path / "x/BTC-USDT/ticker/2024-08-08.parquet").to_pylist()
    assert [row["last"] for row in quotes[8:11]] == [None, Decimal(100), None]


async def test_every_table_as_csv_has_all_rows(database: str, sql: asyncpg.Connection, tmp_path: Path):
    await everything(sql)
    await run(database, tmp_path, "csv")
    tables = {str(path.relative_to(tmp_path).parent): len(lines(path)) for path in tmp_path.rglob("*.csv.gz")}
    assert tables == {
        "x/BTC-USDT/trade": 400, "x/BTC-USDT/ticker": 300, "x/BTC-USDT/1m": 300, "x/BTC-USDT/1h": 30,
        "x/BTC-USDT/book_snapshot": 20, "x/BTC-USDT/book_delta": 40, "x/ETH-USDT_USDT-240927/trade": 50,
        "x/ETH-USDT_USDT-240927/funding": 5, "x/ETH-USDT_USDT-240927/open_interest": 20,
        "x/ETH-USDT_USDT-240927/mark_price": 20, "x/ETH-USDT_USDT-240927/liquidation": 3,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_again_only_what_has_changed_is_written(
    database: str, sql: asyncpg.Connection, tmp_path: Path, form: str
):
    await everything(sql)
    first = await run(database, tmp_path, form)
    assert await run(database, tmp_path, form) == Exported(written=0, unchanged=first.written, rows=0)
    await sql.execute("update md.candles set close = 100.10 where timeframe = '1m' and open_ts = $1", START)
    damaged = next(tmp_path.rglob("*/funding/2024.[cp]*"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = await run(database, tmp_path, form)
    assert (again.written, again.unchanged, again.rows) == (2, first.written - 2, 305)


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_an_export_that_was_cut_goes_on(database: str, sql: asyncpg.Connection, tmp_path: Path, form: str):
    await everything(sql)
    await run(database, tmp_path / "whole", form)

    class Cut(BaseException):
        pass

    def cut_at(number: int):
        def progress(done: int, total: int | None) -> None:
            if done == number:
                raise Cut

        return progress

    for number in (2, 5):
        with pytest.raises(Cut):
            await export(database, Selection(), tmp_path / "cut", form, ManualClock(), cut_at(number))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").rglob("*") if path.is_file()}
    assert len(written) == 10
    await run(database, tmp_path / "cut", form)
    assert all(path.stat().st_mtime_ns == moment for path, moment in written.items())

    def contents(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_days_that_the_database_no_longer_has_stay_in_the_file(
    database: str, sql: asyncpg.Connection, tmp_path: Path, form: str
):
    await instruments(sql)
    for day in (0, 1, 2, 4):
        await candles(sql, 60, start=START + day * 1440 * MINUTE)

    def opened() -> list[datetime]:
        if form == "csv":
            return [datetime.fromisoformat(row["open_ts"]) for row in lines(tmp_path / BTC_1M)]
        return [row["open_ts"] for row in pq.read_table(tmp_path / "x/BTC-USDT/1m/2024.parquet").to_pylist()]

    await run(database, tmp_path, form)
    every = opened()
    assert len(every) == 240
    await sql.execute("delete from md.candles where open_ts < $1", START + 2 * 1440 * MINUTE)
    assert (await run(database, tmp_path, form)).unchanged == 1
    await candles(sql, 60, start=START + 3 * 1440 * MINUTE)
    await candles(sql, 60, start=START)  # a day comes back
    assert (await run(database, tmp_path, form)).rows == 300
    found = opened()
    assert found == sorted(found)
    assert set(found) >= set(every)
    assert len(found) == 300


async def test_a_file_with_the_only_copy_of_a_day_is_not_overwritten_when_it_is_damaged(
    database: str, sql: asyncpg.Connection, tmp_path: Path
):
    await instruments(sql)
    await candles(sql)
    await run(database, tmp_path, "csv")
    await sql.execute("delete from md.candles where open_ts < $1", START + 120 * MINUTE)
    (tmp_path / BTC_1M).write_bytes(b"damaged")
    with pytest.raises(Unfit, match="not what its metadata describes"):
        await run(database, tmp_path, "csv")
    assert (tmp_path / BTC_1M).read_bytes() == b"damaged"


async def test_a_cut_between_a_file_and_its_metadata_is_mended(database: str, sql: asyncpg.Connection, tmp_path: Path):
    await instruments(sql)
    await candles(sql)
    await run(database, tmp_path, "csv")
    about = tmp_path / "x/BTC-USDT/1m/2024.metadata.json"
    about.replace(about.with_name(".2024.metadata.json.next"))
    about.write_text("{}")
    assert (await run(database, tmp_path, "csv")).unchanged == 1
    assert metadata(tmp_path / BTC_1M)["rows"] == 300


async def test_only_the_files_that_a_time_touches_are_written_and_those_whole(
    database: str, sql: asyncpg.Connection, tmp_path: Path
):
    await instruments(sql)
    await trades(sql, 1000)
    midnight = START + 120 * MINUTE
    done = await run(database, tmp_path, "parquet", since=ns(midnight), until=ns(midnight + MINUTE))
    assert done.written == 1
    path = tmp_path / "x/BTC-USDT/trade/2024-08-09.parquet"
    assert pq.read_table(path).num_rows == 1000 - 240
    about = json.loads(path.with_name("2024-08-09.parquet.metadata.json").read_text())
    assert about["quality"]["counts"]["rows"] == 1000 - 240


@pytest.mark.parametrize("price", ["0.1234567890123456789", "123456789012345678901"])
async def test_a_number_that_parquet_cannot_hold_is_refused_by_name(
    database: str, sql: asyncpg.Connection, tmp_path: Path, price: str
):
    await instruments(sql)
    await trades(sql, 3)
    await sql.execute("update md.trades set price = $1 where id = '1'", Decimal(price))
    with pytest.raises(Unfit, match="x BTC/USDT trade: a value of price"):
        await run(database, tmp_path, "parquet")
    assert not list(tmp_path.rglob("*.parquet"))
    await run(database, tmp_path, "csv")
    assert lines(tmp_path / "x/BTC-USDT/trade/2024.csv.gz")[1]["price"] == price
