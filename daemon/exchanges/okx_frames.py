"""What OKX's streams are called and what reads their frames, what is sent to OKX, and which frames carry no data."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from bus.errors import ConfigError
from daemon.exchanges import okx_books as books
from daemon.exchanges import okx_contracts as contracts
from daemon.exchanges.base import FeedKey, Instrument, Notice
from daemon.exchanges.okx_messages import (
    BARS,
    TIMEFRAMES,
    CandleItem,
    FundingItem,
    InterestItem,
    LiquidationItem,
    MarkItem,
    Push,
    TickerItem,
    TradeItem,
)

CHANNELS: Final = frozenset({"trade", "ticker", "book", "candle", *contracts.CHANNELS})
_SERVICE_UPGRADE: Final = "64008"

READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    channel: msgspec.json.Decoder(message, strict=False).decode
    for channel, message in {
        "trades": Push[TradeItem],
        "trades-all": Push[TradeItem],
        "tickers": Push[TickerItem],
        "funding-rate": Push[FundingItem],
        "open-interest": Push[InterestItem],
        "mark-price": Push[MarkItem],
        "liquidation-orders": Push[LiquidationItem],
        **{f"candle{bar}": Push[CandleItem] for bar in TIMEFRAMES},
    }.items()
} | {"books": books.read}
"""What a channel's frames are read with."""


def stream(feed: FeedKey, instrument: Instrument, *, aggregates: bool) -> str:
    """Return `channel:instrument` of what makes up a feed. Raises ConfigError for a feed that OKX lacks."""
    native, kind = instrument.native, instrument.kind
    match feed.channel:
        case "trade":
            return f"trades:{native}" if aggregates else f"trades-all:{native}"
        case "ticker":
            return f"tickers:{native}"
        case "book":
            return f"books:{native}"
        case "candle" if feed.timeframe in BARS:
            return f"candle{BARS[feed.timeframe]}:{native}"
        case "candle":
            raise ConfigError(f"okx has no timeframe {feed.timeframe!r}; it has {', '.join(sorted(BARS))}")
        case channel if channel not in contracts.CHANNELS:
            raise ConfigError(f"okx has no channel {channel!r}; it has {', '.join(sorted(CHANNELS))}")
        case channel if kind == "spot" or (kind, channel) == ("future", "funding"):
            raise ConfigError(f"okx has no {channel} of {feed.symbol}: its kind is {kind}")
        case "liquidation":
            return f"liquidation-orders:{'FUTURES' if kind == 'future' else 'SWAP'}"
    return f"{contracts.CHANNELS[feed.channel]}:{native}"


def operation(kind: str, streams: Sequence[str], message_id: int) -> str:
    """Return the message that subscribes to streams or ends them, sections "Subscribe" and "Unsubscribe".

    {"id":"1512","op":"subscribe","args":[{"channel":"tickers","instId":"BTC-USDT"}]}
    """
    args = []
    for stream in dict.fromkeys(streams):
        channel, _, of = stream.partition(":")
        args.append({"channel": channel, "instType" if channel == "liquidation-orders" else "instId": of})
    return msgspec.json.encode({"id": str(message_id), "op": kind, "args": args}).decode()


def notice(value: Any) -> Notice:
    """Say what a frame is that carries no data.

    {"id":"1","event":"subscribe","arg":{…},"connId":"a4d3ae55"}; {"id":"1","event":"error","code":"60012",
    "msg":"Invalid request: …"}; {"event":"notice","code":"64008","msg":"The connection will soon be closed for a
    service upgrade. Please reconnect."}; {"event":"channel-conn-count",…}
    """
    event = value.get("event") if isinstance(value, dict) else None
    if not isinstance(event, str):
        return Notice("unknown", msgspec.json.encode(value).decode()[:100])
    text = msgspec.json.encode(value).decode()[:500]
    if event == "error":
        number = str(value.get("id"))
        return Notice("refused", text, int(number) if number.isascii() and number.isdecimal() else None)
    if event == "notice" and value.get("code") == _SERVICE_UPGRADE:
        return Notice("reconnect", str(value.get("msg"))[:200])
    return Notice("control", text)
