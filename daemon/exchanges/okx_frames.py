"""Which of OKX's frames carry no market data, what is sent to OKX, and what reads each channel."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from daemon.exchanges import okx_books as books
from daemon.exchanges.base import Notice
from daemon.exchanges.okx_messages import (
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
"""What takes in a frame, by channel."""


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
