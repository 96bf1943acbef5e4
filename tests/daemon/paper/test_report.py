"""A portfolio's report as a page and as data, from rows as the database gives them."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.paper.page import page
from daemon.paper.plot import HEIGHT, WIDTH, plot
from daemon.paper.report import FORMATS, Report, drawdowns

START = datetime(2026, 1, 1, tzinfo=UTC)


def points(*equities: str) -> list[dict[str, Any]]:
    found = [{"ts": START + timedelta(minutes=at), "equity": Decimal(equity)} for at, equity in enumerate(equities)]
    return drawdowns(found)


@pytest.fixture
def report() -> Report:
    trade = {
        "ts": START, "exchange": "binance", "symbol": "BTC/USDT", "side": "buy", "quantity": Decimal("0.10"),
        "price": Decimal(50_000), "fee": Decimal("5.000"), "fee_currency": "USDT", "liquidity": "taker",
        "order": "o1", "id": "o1-1",
    }  # fmt: skip
    portfolio = {
        "portfolio": "<demo>", "currency": "USDT", "equity": Decimal(9_995), "profit": Decimal(-5), "halted": None,
    }  # fmt: skip
    balances = [{"asset": "USDT", "total": Decimal(4_995), "locked": Decimal(0), "free": Decimal(4_995)}]
    return Report(portfolio, {"round_trips": 1, "sharpe": None}, points("10000", "9995"), balances, [], [trade])


def test_the_page_has_two_curves_and_every_trade_and_escapes_names(report: Report):
    text = FORMATS[".html"](report)
    assert "<demo>" not in text
    assert "&lt;demo&gt;" in text
    assert text.count("<svg") == 2
    assert "<td>0.1</td><td>50000</td><td>5</td>" in text
    assert "<script" not in text
    assert "http" not in text


def test_a_portfolio_in_which_nothing_has_happened_has_a_page_too():
    portfolio = {
        "portfolio": "p",
        "currency": "USDT",
        "equity": Decimal(1),
        "profit": Decimal(0),
        "halted": "by command",
    }
    text = page(portfolio, {}, [], [], [], [])
    assert "nothing has happened yet" in text
    assert "trading is halted: by command" in text


def test_json_has_everything_and_csv_the_trades(report: Report):
    data = json.loads(FORMATS[".json"](report))
    assert data["trades"][0]["quantity"] == "0.1"
    assert data["equity"][1]["drawdown"] == "0.0005"
    (row,) = csv.DictReader(io.StringIO(FORMATS[".csv"](report)))
    assert (row["price"], row["order"]) == ("50000", "o1")


@given(st.lists(st.decimals(-1_000, 10**9, places=4), min_size=1, max_size=40))
def test_every_point_of_a_curve_is_inside_the_picture(values: list[Decimal]):
    curve = points(*map(str, values))
    for name, downwards in (("equity", False), ("drawdown", True)):
        picture = ET.fromstring(plot(curve, name, "red", downwards=downwards))
        path = picture.find("path")
        assert path is not None
        steps = path.attrib["d"].replace("M", "").replace(",", "V").replace("H", " ").split()
        assert len(steps) == len(values)
        for step in steps:
            x, y = map(float, step.split("V"))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_drawdown_counts_from_the_highest_so_far():
    assert [point["drawdown"] for point in points("100", "90", "120", "60")] == [0, Decimal("0.1"), 0, Decimal("0.5")]
