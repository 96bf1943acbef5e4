"""One event of every kind, and everything that is stored."""

import asyncpg

from bus.events import (
    Book,
    Breaker,
    Candle,
    Dead,
    Feed,
    Funding,
    Gap,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Quality,
    Ticker,
    Trade,
)

T0 = 1_723_161_255_342_123_456
HEAD = ("binance", "BTC/USDT", T0, T0 + 5_000, "ws")


def trade(number: int, price: str = "61837.63000000") -> Trade:
    return Trade("binance", "BTC/USDT", T0 + number * 1_000_000, T0 + number, "ws", str(number), price, "0.02", "buy")


def candle(close: str, recv: int, *, closed: bool, open_ts: int = 1_723_161_240 * 10**9) -> Candle:
    return Candle("binance", "BTC/USDT", T0, recv, "ws", "1m", open_ts, "1", "3", "1", close, "10.5", 7, closed)


EVENTS = [
    trade(1),
    Ticker(*HEAD[:2], None, *HEAD[3:], bid="1.10", bid_size="2", ask="1.20", ask_size="0.30"),
    Ticker(*HEAD[:3], T0 + 6_000, "ws", last="9", open="8", high="10", low="7", volume="100.5", quote_volume="900"),
    Book(*HEAD, "snapshot", [("100.10", "1"), ("100.00", "2")], [("100.20", "3")], None, 7, None, None),
    Book(*HEAD[:3], T0 + 7_000, "ws", "delta", [("100.10", "0")], [], 8, 9, 7, None),
    candle("2", T0, closed=False),
    Funding("binance", "BTC/USDT:USDT", T0, T0, "ws", "-0.0001", T0 + 10**9),
    MarkPrice("binance", "BTC/USDT:USDT", T0, T0, "ws", "100.5", None),
    OpenInterest("binance", "BTC/USDT:USDT", T0, T0, "rest", "5", "500"),
    Liquidation("binance", "BTC/USDT:USDT", T0, T0, "ws", None, "sell", "99", "1"),
    Feed(T0, "binance", "BTC/USDT", "trade", "live"),
    Breaker(T0, "binance", "ws", "open", T0 + 10**9, "too many failures"),
    Gap(T0, "g1", "binance", "BTC/USDT", "trade", T0, T0 + 10**9, "5", "9", "open", "ids jump"),
    Quality(T0, "binance", "BTC/USDT", "trade", "outlier_price", "warning", "trade:1", "far off"),
    Dead(T0, "d1", "md:binance:trade/1-1#0", "persistence", "why", b"\x00\xff\\raw"),
]


async def everything(sql: asyncpg.Connection) -> dict[str, list[tuple]]:
    names = (
        "trades", "tickers", "book_snapshots", "book_deltas", "candles", "funding_rates", "mark_prices",
        "open_interest", "liquidations", "feed_gaps", "quality_flags", "feed_events", "breaker_events",
        "dead_letters",
    )  # fmt: skip
    return {name: sorted(map(tuple, await sql.fetch(f"select * from {name}")), key=repr) for name in names}
