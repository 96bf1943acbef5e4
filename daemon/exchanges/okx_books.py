"""OKX's book messages: what they look like, and how their levels are read.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Struct

from bus.events import Level
from daemon.exchanges.decimals import AMOUNT, PRICE, Number, check_levels
from daemon.exchanges.okx_messages import Id, Items, Time


class BookLevel(Struct, array_like=True, gc=False):
    """Price and amount; behind them stand a 0 that means nothing any more and the number of orders."""

    price: Number
    amount: Number


class BookItem(Struct, gc=False):
    """The changes of a book message; a message without any repeats its `seqId`.

    {"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":0,
    "prevSeqId":-1,"seqId":123456}
    """

    asks: Items[BookLevel]
    bids: Items[BookLevel]
    ts: Time
    seqId: Id  # noqa: N815 # OKX's name
    prevSeqId: int  # noqa: N815 # OKX's name


class BookMessage(Struct, gc=False):
    """`books`: {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[…]}."""

    action: Literal["snapshot", "update"]
    data: tuple[BookItem]


_SIDE: Final = rf'\[(?:\["{PRICE}","{AMOUNT}"[^]]*+\],?+)*+\]'
_OTHERS: Final = r'(?:,"(?:ts|checksum|prevSeqId|seqId)":"?-?[0-9]++"?+)*+'
_sound: Final = re.compile(
    r'\{"arg":\{"channel":"books","instId":"[A-Z0-9-]++"\},"action":"(?:update|snapshot)","data":\['
    rf'\{{"asks":{_SIDE},"bids":{_SIDE}{_OTHERS}\}}\]\}}'.encode()
).fullmatch
"""The usual form of such JSON, all plain decimals and all prices above 0: `check_levels` takes a third longer."""
_decode: Final = msgspec.json.Decoder(BookMessage, strict=False).decode


def read(raw: bytes) -> tuple[BookMessage, list[Level], list[Level]]:
    """Return a message with its bids and asks, checked to be plain decimals. Raises MalformedFrame."""
    message = _decode(raw)
    item = message.data[0]
    bids = [(level.price, level.amount) for level in item.bids]
    asks = [(level.price, level.amount) for level in item.asks]
    if _sound(raw) is None:
        check_levels(bids, asks)
    return message, bids, asks
