"""The engine on real markets: orders of ours in recorded books and prints, fill for fill beside the plain matcher."""

from collections import Counter
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bus.book import BookBuilder
from bus.events import Book, Trade
from bus.paper import FillReport
from daemon.exchanges import load
from daemon.recording import Recording, replay
from handlers.paper.commands import Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.orders import OrderRequest
from handlers.paper.settings import Fees, Settings
from handlers.paper.units import money_text
from tests.handlers.paper.reference import Order, Reference

SPEC = InstrumentSpec("", "BASE", "QUOTE", tick="0.00000001", step="0.00000001")
CASH = "1000000000"
REACH = 200
"""Levels that the plain matcher looks at, which is slow: far more than any order here comes to."""


def _events(path: Path, exchange: str) -> list[Book | Trade]:
    """Some hundred events of the symbol with the most prints, from its first snapshot on."""
    events = [
        event
        for _, some in replay(Recording(path), load(exchange)())
        for event in some
        if isinstance(event, Book | Trade)
    ]
    counts = Counter(event.symbol for event in events if isinstance(event, Trade))
    snapshots = {event.symbol for event in events if isinstance(event, Book) and event.kind == "snapshot"}
    symbol = max(snapshots, key=lambda symbol: (counts[symbol], symbol))
    mine = [event for event in events if event.symbol == symbol]
    first = next(n for n, event in enumerate(mine) if isinstance(event, Book) and event.kind == "snapshot")
    return list(islice(mine, first, first + 300))


@pytest.mark.parametrize(
    ("file", "exchange"),
    [
        ("binance_2021", "binance"),
        ("okx_current_api", "okx"),
        ("bybit_current_api", "bybit"),
        ("coinbase_current_api", "coinbase"),
        ("kraken_current_api", "kraken"),
    ],
)
def test_orders_in_a_recorded_market(recordings: Path, file: str, exchange: str):
    events = _events(recordings / f"{file}.jsonl.gz", exchange)
    symbol = events[0].symbol
    engine = Engine()
    engine.list_instrument(Instrument(exchange, InstrumentSpec(symbol, "BASE", "QUOTE", SPEC.tick, SPEC.step)))
    engine.create("me", {"QUOTE": CASH}, Settings(Fees("0.0002", "0.0005")))
    reference = Reference(Decimal(CASH), Decimal("0.0002"), Decimal("0.0005"), received=False, stp="EXPIRE_MAKER")
    builder, random = BookBuilder(), Random(1)
    for number, event in enumerate(events):
        assert engine.on_event(event)
        if isinstance(event, Trade):
            reference.on_trade(event.side, Decimal(event.price), Decimal(event.amount))
        elif builder.apply(event):
            reference.on_book({"bid": _levels(builder.bids(REACH)), "ask": _levels(builder.asks(REACH))})
        if number % 2 == 0 and builder.best_bid is not None and builder.best_ask is not None:
            fields = _order(random, f"o{number}", builder)
            request = OrderRequest(exchange=exchange, symbol=symbol, **fields)
            engine.on_command(Submit("me", request), engine.clock.now, number + 1)
            reference.submit(_plain(fields))
        assert [
            (r.order, Decimal(r.price), Decimal(r.quantity), Decimal(r.fee), r.liquidity)
            for r in engine.reports
            if isinstance(r, FillReport)
        ] == reference.fills
    ledger = engine.portfolios["me"].ledger
    assert Decimal(money_text(ledger.balance("QUOTE").total)) == reference.cash
    assert Decimal(money_text(ledger.balance("BASE").locked)) == reference.locked("sell")
    assert len(reference.fills) > 5


def _levels(levels: list[tuple[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(size) for price, size in levels}


def _order(random: Random, order_id: str, builder: BookBuilder) -> dict[str, Any]:
    """A market order, or a limit at one of the best three levels of its own side: it takes its place in a queue."""
    side = random.choice(["buy", "buy", "sell"])
    level = random.choice(builder.bids(3) if side == "buy" else builder.asks(3))
    quantity = format(Decimal(level[1]) * random.randint(1, 3) / 4, ".8f")
    order = {"id": order_id, "side": side, "order_type": "market", "quantity": quantity}
    if random.random() < 0.7:
        order |= {"order_type": "limit", "price": level[0]}
    return order


def _plain(fields: dict[str, Any]) -> Order:
    price = Decimal(fields["price"]) if "price" in fields else None
    return Order(fields["id"], fields["side"], fields["order_type"], Decimal(fields["quantity"]), price=price)
