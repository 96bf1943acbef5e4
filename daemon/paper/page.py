"""A report as a page of HTML that opens in any browser, also from a mail: no script, no other file."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from daemon.paper.plot import plot
from daemon.paper.records import Rows, plain

_STYLE: Final = """
:root { color-scheme: light dark; --line: #2563eb; --fall: #dc2626; --faint: #8884; --soft: #888 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem } p.lead { color: var(--soft); margin-top: 0 }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .75rem 1.5rem }
dt { color: var(--soft); font-size: .85rem } dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto } svg text { font-size: 11px; fill: var(--soft) }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--faint); white-space: nowrap }
th:first-child, td:first-child { text-align: left } div.wide { overflow-x: auto }
"""
_STATISTICS: Final = (
    ("round_trips", "Round trips", "from flat to flat, net of fees"),
    ("win_rate_dec", "Win rate", "share of round trips that gained"),
    ("profit_factor_dec", "Profit factor", "gains over losses"),
    ("expectancy", "Expectancy", "average result of a round trip"),
    ("average_win", "Average win", ""),
    ("average_loss", "Average loss", ""),
    ("max_drawdown_abs", "Max drawdown", "from the highest equity, at marks"),
    ("max_drawdown_pct", "Max drawdown, %", ""),
    ("sharpe", "Sharpe", "daily returns, annualised with 365 days"),
    ("sortino", "Sortino", "daily returns, annualised with 365 days"),
    ("exposure", "Exposure", "share of time with a position"),
    ("fees_paid", "Fees paid", ""),
)


def page(
    portfolio: Mapping[str, Any],
    statistics: Mapping[str, Any],
    equity: Rows,
    positions: Rows,
    balances: Rows,
    trades: Rows,
) -> str:
    """Return the page."""
    name, currency = escape(portfolio["portfolio"]), escape(portfolio["currency"])
    begin, end = (f"{equity[at]['ts']:%Y-%m-%d %H:%M}" for at in (0, -1)) if equity else ("", "")
    period = f"{begin} to {end} UTC" if equity else "nothing has happened yet"
    halted = f" · trading is halted: {escape(portfolio['halted'])}" if portfolio["halted"] else ""
    figures = [
        ("Equity", f"{_number(portfolio['equity'])} {currency}", ""),
        ("Result", f"{_number(portfolio['profit'])} {currency}", "after fees, at marks"),
        *((title, _number(statistics.get(key)), hint) for key, title, hint in _STATISTICS),
    ]
    return "\n".join(
        (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}: paper trading</title>',
            f"<style>{_STYLE}</style><h1>{name}</h1>",
            f'<p class="lead">Paper trading in {currency}, {period}{halted}</p>',
            f"<dl>{''.join(_figure(*figure) for figure in figures)}</dl>",
            f"<h2>Equity ({currency})</h2>{plot(equity, 'equity', 'var(--line)')}",
            f"<h2>Drawdown (share of the highest equity)</h2>{plot(equity, 'drawdown', 'var(--fall)', downwards=True)}",
            f"<h2>Positions</h2>{_table(positions)}<h2>Balances</h2>{_table(balances)}",
            f"<h2>Trades ({len(trades)})</h2>{_table(trades)}</html>\n",
        )
    )


def _figure(title: str, value: str, hint: str) -> str:
    return f'<div title="{escape(hint)}"><dt>{escape(title)}</dt><dd>{value}</dd></div>'


def _number(value: object) -> str:
    return "-" if value is None else escape(str(plain(value)))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = _cells("th", (name.replace("_", " ") for name in rows[0]))
    body = "".join(f"<tr>{_cells('td', map(_number, row.values()))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cells(kind: str, values: Iterable[str]) -> str:
    return "".join(f"<{kind}>{value}</{kind}>" for value in values)
