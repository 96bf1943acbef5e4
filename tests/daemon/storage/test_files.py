"""A file is whole or not there; every symbol has a folder of its own."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import MarketdError, UsageError
from daemon.storage.files import folder_of, replace, sha256, whole_file

PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4) | st.text("AB-_%:/.", min_size=1)
SYMBOLS = st.builds("{}/{}".format, PARTS, PARTS) | st.builds("{}/{}:{}".format, PARTS, PARTS, PARTS)


@given(st.lists(SYMBOLS, min_size=2, max_size=8, unique=True))
def test_no_two_symbols_share_a_folder_and_none_leaves_it(symbols: list[str]):
    names = [folder_of(symbol) for symbol in symbols]
    assert len(set(names)) == len(symbols)
    assert all("/" not in name and name not in {".", ".."} for name in names)


def test_usual_symbols_have_readable_folders():
    assert folder_of("BTC/USDT") == "BTC-USDT"
    assert folder_of("BTC/USDT:USDT") == "BTC-USDT_USDT"
    assert folder_of("BTC/USDT:USDT-240927") == "BTC-USDT_USDT-240927"


async def test_what_ends_badly_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "sub" / "file"
    await replace(path, b"old")

    async def fail() -> None:
        async with whole_file(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_remnant_of_a_killed_writer_is_overwritten(tmp_path: Path):
    (tmp_path / ".file.part").write_bytes(b"a long remnant")
    await replace(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert await sha256(tmp_path / "file") == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"
    assert await sha256(tmp_path / "none") is None


async def test_two_writers_of_one_file_do_not_mix(tmp_path: Path):
    async with whole_file(tmp_path / "file") as file:
        with pytest.raises(MarketdError, match="another process"):
            await asyncio.wait_for(replace(tmp_path / "file", b"second"), 60)
        file.write(b"first")
    assert (tmp_path / "file").read_bytes() == b"first"


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        await replace(tmp_path / "file" / "below", b"")
