"""How events look on a terminal and as JSON."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from bus.clock import MICROSECOND, SECOND
from bus.commands import Reply
from bus.events import Book, Candle, Event, MarketEvent, Ticker, Trade, event_type

_json = msgspec.json.Encoder()
_NANOSECONDS: Final = range(10**18, 4 * 10**18)
"""A whole number of this size in a reply is a time (ns): 2001 to 2096."""


def event_json(event: Event) -> str:
    """Return the event as one line of JSON with the keys that it has on the bus."""
    return _json.encode(event).decode()


def event_line(event: Event) -> str:
    """Return the event as one line for people: time, channel, exchange, symbol, what happened."""
    if isinstance(event, MarketEvent):
        when = event.ts if event.ts is not None else event.recv
        return f"{_time(when)} {event_type(event):<8} {event.exchange} {event.symbol:<12} {_market(event)}"
    fields = {key: value for key, value in msgspec.structs.asdict(event).items() if key != "ts"}
    return f"{_time(event.ts)} {event_type(event):<8} " + " ".join(
        f"{k}={v}" for k, v in fields.items() if v not in ("", None)
    )


def reply_text(reply: Reply) -> str:
    """Return a command's reply for people: the error's sentence, the result's own line, or the result as an outline."""
    if reply.error is not None:
        return f"{reply.command}: {reply.status}: {reply.error.message}"
    if reply.status == "accepted":
        return f"{reply.command}: accepted"
    if isinstance(reply.result, dict) and "text" in reply.result:
        return str(reply.result["text"])
    return "\n".join(_outline(reply.result)) or f"{reply.command}: {reply.status}"


def _outline(value: object, indent: str = "") -> Iterator[str]:
    """Spell nested JSON out, a line per value; a list of flat objects is a line per object."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list) and item:
                yield f"{indent}{key}:"
                yield from _outline(item, indent + "  ")
            else:
                yield f"{indent}{key}: {_scalar(item)}"
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and not any(isinstance(inner, dict | list) for inner in item.values()):
                yield indent + "  ".join(f"{key}={_scalar(inner)}" for key, inner in item.items())
            else:
                yield from _outline(item, indent + "  ")
    elif value is not None:
        yield indent + _scalar(value)


def _scalar(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, int) and value in _NANOSECONDS:
        return f"{datetime.fromtimestamp(value // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _market(event: MarketEvent) -> str:
    match event:
        case Trade():
            return f"{event.side:<4} {event.amount} @ {event.price}  #{event.id}"
        case Ticker() if event.bid is not None or event.ask is not None:
            return f"bid {event.bid} x {event.bid_size}  ask {event.ask} x {event.ask_size}"
        case Ticker():
            return f"last {event.last}  high {event.high}  low {event.low}  volume {event.volume}"
        case Book():
            return f"{event.kind} {len(event.bids)} bids {len(event.asks)} asks  ..{event.last_id}"
        case Candle():
            state = "closed" if event.closed else "open"
            prices = f"o {event.open} h {event.high} l {event.low} c {event.close}"
            return f"{event.timeframe} {prices} v {event.volume} {state}"
        case _:
            known = {"exchange", "symbol", "ts", "recv", "source"}
            return " ".join(f"{k}={v}" for k, v in msgspec.structs.asdict(event).items() if k not in known)


def _time(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // SECOND, UTC)
    return f"{moment:%H:%M:%S}.{ns % SECOND // MICROSECOND:06d}"
