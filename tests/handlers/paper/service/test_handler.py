"""Paper trading as a subscriber: what it stores and tells, and that a crash anywhere changes neither."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.clock import MILLISECOND, SECOND
from bus.errors import StoreUnavailable
from bus.events import Dead, Event, Feed, Quality
from bus.handler import Batch
from bus.paper import FillReport, OrderReport, PaperCommand, PaperReply
from handlers.paper.service import PaperHandler, journal, keeper
from handlers.paper.service.tasks import Tasks
from tests.handlers.paper.service.flow import SYMBOL, Stand, book, command, create, order, trade

BIDS, ASKS = {"99.00": "2", "98.00": "5"}, {"101.00": "1", "102.00": "5"}


async def test_an_order_is_filled_from_the_book_and_stands_in_the_tables(stand: Stand):
    await stand.give(book(1, BIDS, ASKS))
    await stand.give(create(2))
    reply = await stand.ask(order(3, "buy", "market", quantity="2"))
    assert reply.result is not None
    assert reply.result["text"] == "bought 2 BTC/USDT at 101.5 on average, fee 0.203 USDT (order o1)"
    fills = [json.loads(row) for row in await stand.rows("paper_fills")]
    assert [(fill["price"], fill["quantity"]) for fill in fills] == [(101.00, 1), (102.00, 1)]
    (position,) = [json.loads(row) for row in await stand.rows("paper_positions")]
    assert (position["quantity"], position["average_price"], position["fees"]) == (2, 101.5, 0.203)
    balances = {row["asset"]: row["total"] for row in map(json.loads, await stand.rows("paper_balances"))}
    assert balances == {"USDT": 9796.797, "BTC": 2}
    (portfolio,) = [json.loads(row) for row in await stand.rows("paper_portfolios")]
    assert portfolio["statistics"]["fees_paid"] == "0.203"
    equity = json.loads((await stand.rows("paper_equity"))[-1])
    assert equity["equity"] == pytest.approx(equity["initial"] + equity["realized"] + equity["unrealized"] - 0.203)


async def test_what_protects_an_order_is_named_also_where_it_is_refused(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2), trade(3, "buy", "101", "1"))
    reply = await stand.ask(order(4, "buy", "market", "mine", quantity="1", stop_loss="500", take_profit="120"))
    assert reply.result is not None
    assert [(leg["id"], leg["status"], leg["reason"]) for leg in reply.result["legs"]] == [
        ("mine:tp", "NEW", ""), ("mine:sl", "REJECTED", "STOP_WOULD_TRIGGER")
    ]  # fmt: skip
    assert reply.result["text"] == (
        "bought 1 BTC/USDT at 101, fee 0.101 USDT; mine:tp: sell 1 BTC/USDT limit at 120 is new; "
        "mine:sl: sell 1 BTC/USDT stop market stop 500 is rejected: the stop price is reached already (order mine)"
    )


async def test_each_moment_counts_once_there_is_a_portfolio(stand: Stand):
    assert stand.handler.pace > 0
    await stand.give(book(1, BIDS, ASKS))
    assert stand.handler.pace > 0
    await stand.give(create(2))
    assert stand.handler.pace == 0
    await stand.restart()
    assert stand.handler.pace == 0


async def test_outputs_are_numbered_without_a_gap_and_what_comes_again_gives_none(stand: Stand):
    flow = [
        book(1, BIDS, ASKS),
        create(2),
        order(3, "buy", "limit", quantity="1", price="99"),
        trade(4, "sell", "98", "1"),
    ]
    await stand.give(*flow)
    assert [event.seq for event in stand.stream] == list(range(1, len(stand.stream) + 1))
    assert sum(isinstance(event, FillReport) for event in stand.stream) == 1
    assert await stand.give(*flow) == []
    await stand.restart()
    assert await stand.give(*flow) == []


async def test_open_orders_and_their_place_in_the_queue_survive_a_restart(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2), order(3, "buy", "limit", "mine", quantity="1", price="99"))
    await stand.give(trade(4, "sell", "99", "1.5"))  # of the 2 before us
    await stand.restart()
    assert await stand.give(trade(5, "sell", "99", "0.5")) == []
    (fill,) = [event for event in await stand.give(trade(6, "sell", "99", "0.25")) if isinstance(event, FillReport)]
    assert (fill.order, fill.quantity) == ("mine", "0.25")


async def test_a_halt_survives_a_restart_and_lets_cancels_through(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2), order(3, "buy", "market", quantity="1"))
    await stand.ask(order(4, "buy", "limit", "rests", quantity="1", price="90"))
    halted = await stand.ask(command(5, "trading.halt", flatten=True))
    assert halted.result is not None
    assert halted.result["portfolios"] == ["demo"]
    (position,) = [json.loads(row) for row in await stand.rows("paper_positions")]
    assert position["quantity"] == 0
    await stand.restart()
    refused = await stand.ask(order(6, "buy", "market", quantity="1"))
    assert refused.code == "KILL_SWITCH"
    assert json.loads((await stand.rows("paper_portfolios"))[0])["halted"] == "by command"
    late = await stand.ask(create(7, "other"))
    assert late.result is not None
    assert (await stand.ask(order(8, "buy", "market", quantity="1"))).code == "unknown_portfolio"
    await stand.ask(command(9, "trading.resume"))
    asked = {"id": "", "exchange": "", "symbol": SYMBOL, "side": "buy", "order_type": "market", "quantity": "1"}
    again = await stand.ask(command(10, "order.submit", portfolio="other", order=asked))
    assert again.result is not None


async def test_positions_are_closed_and_protected_by_one_command(stand: Stand):
    await stand.give(
        book(1, BIDS, ASKS), create(2), order(3, "buy", "market", quantity="1"), trade(4, "buy", "101", "0.1")
    )
    protected = await stand.ask(command(5, "position.protect", symbol=SYMBOL, stop_loss="95", take_profit="120"))
    assert protected.result is not None
    assert len(protected.result["ids"]) == 2
    renewed = await stand.ask(command(6, "position.protect", symbol=SYMBOL, stop_loss="96"))
    assert renewed.result is not None
    orders = {row["id"]: row["status"] for row in map(json.loads, await stand.rows("paper_orders"))}
    assert sorted(orders.values()) == ["CANCELED", "CANCELED", "FILLED", "NEW"]
    closed = await stand.ask(command(7, "position.close", symbol=SYMBOL))
    assert closed.result is not None
    assert "sold 1 BTC/USDT at 99" in closed.result["text"]
    assert (await stand.ask(command(8, "position.close", symbol=SYMBOL))).code == "no_position"


async def test_a_protection_that_is_refused_leaves_the_earlier_one(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2), order(3, "buy", "market", quantity="1"))
    refused = await stand.ask(command(4, "position.protect", symbol=SYMBOL, stop_loss="95", take_profit="120.0001"))
    assert "multiple" in refused.message
    assert not await open_orders(stand)
    await stand.ask(command(5, "position.protect", symbol=SYMBOL, stop_loss="95", take_profit="120"))
    for at, wrong in ((6, {"stop_loss": "96.0001"}), (7, {"stop_loss": "96", "take_profit": "130.0001"})):
        refused = await stand.ask(command(at, "position.protect", symbol=SYMBOL, **wrong))
        assert refused.message.endswith("the earlier protection stands")
        assert await open_orders(stand) == [("limit", None, 120, 1), ("stop_market", 95, None, 1)]


async def open_orders(stand: Stand) -> list[tuple[Any, ...]]:
    rows = map(json.loads, await stand.rows("paper_orders"))
    columns = ("order_type", "stop_price", "price", "quantity")
    return sorted(tuple(row[name] for name in columns) for row in rows if row["status"] == "NEW")


async def test_mistakes_are_answered_with_what_is_near(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2))
    answers = {
        "there is a portfolio": create(3),
        "did you mean BTC/USDT": command(4, "order.submit", order={
            "id": "", "exchange": "", "symbol": "BTC/USD", "side": "buy", "order_type": "market", "quantity": "1"}),
        "did you mean demo": command(5, "portfolio.reset", portfolio="dmeo"),
        "no open order has the id nope": command(6, "order.cancel", id="nope"),
        "no command": command(7, "order.sbmit"),
        "Invalid enum value": order(8, "byu", "market", quantity="1"),
        "not a positive multiple of 0.00001": order(9, "buy", "market", quantity="0.000001"),
    }  # fmt: skip
    for words, asked in answers.items():
        reply = await stand.ask(asked)
        assert reply.code
        assert words in reply.message


async def test_a_portfolio_begins_anew_and_is_closed(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2), order(3, "buy", "market", quantity="1"))
    await stand.ask(command(4, "portfolio.reset"))
    assert await stand.rows("paper_fills") == []
    assert [json.loads(row)["total"] for row in await stand.rows("paper_balances")] == [10000]
    await stand.ask(order(5, "buy", "limit", quantity="1", price="90"))
    await stand.ask(command(6, "portfolio.close", portfolio="demo"))
    assert json.loads((await stand.rows("paper_portfolios"))[0])["state"] == "closed"
    assert json.loads((await stand.rows("paper_orders"))[0])["status"] == "CANCELED"
    assert (await stand.ask(create(7))).code == "exists"
    await stand.restart()
    assert (await stand.ask(create(8))).code == "exists"


async def test_a_symbol_without_a_book_trades_on_best_prices_and_says_so(stand: Stand):
    from bus.events import Ticker  # noqa: PLC0415 # here alone

    recv = book(1, {}, {}).recv
    await stand.give(Ticker("binance", SYMBOL, None, recv, "ws", "99", "1", "100", "2"), create(2))
    reply = await stand.ask(order(3, "buy", "market", quantity="3"))
    assert reply.result is not None
    assert "bought 2 BTC/USDT at 100" in reply.result["text"]
    assert "best prices only" in reply.result["text"]


async def test_a_book_that_was_not_seen_to_begin_is_asked_for(stand: Stand):
    delta = replace(book(1, BIDS, {}), kind="delta", first_id=1, prev_id=None)
    await stand.give(delta)
    (asked,) = stand.other
    assert isinstance(asked, Quality)
    assert (asked.rule, asked.symbol) == ("unknown_book", SYMBOL)
    await stand.give(replace(delta, recv=delta.recv + SECOND))
    assert len(stand.other) == 1


async def test_a_book_that_nobody_delivers_any_more_fills_nothing(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2))
    down = Feed(book(5, {}, {}).recv, "binance", SYMBOL, "book", "down")
    await stand.give(replace(down, channel="trade"), replace(down, ts=down.ts - 10), replace(down, state="live"))
    assert (await stand.ask(order(4, "buy", "market", quantity="0.1"))).result is not None
    await stand.give(replace(down, symbol="*"))
    assert (await stand.ask(order(6, "buy", "market", quantity="0.1"))).code == "NO_LIQUIDITY"
    await stand.restart()
    assert (await stand.ask(order(7, "buy", "market", quantity="0.1"))).code == "NO_LIQUIDITY"
    await stand.give(book(8, BIDS, ASKS))
    assert (await stand.ask(order(9, "buy", "market", quantity="0.1"))).result is not None


async def test_time_passes_without_events(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2))
    asked = order(
        3, "buy", "limit", "short", quantity="1", price="90", time_in_force="GTD", expire=book(10, {}, {}).recv
    )
    await stand.ask(asked)
    assert stand.publish(await stand.handler.tick(book(20, {}, {}).recv)) == []  # a batch came since the last tick
    (expired,) = [
        e for e in stand.publish(await stand.handler.tick(book(21, {}, {}).recv)) if isinstance(e, OrderReport)
    ]
    assert (expired.id, expired.status) == ("short", "EXPIRED")


async def test_a_bad_number_is_kept_as_a_dead_letter_and_leaves_everything_as_it_is(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2))
    await stand.give(trade(3, "buy", "1x", "1"))
    (dead,) = stand.other
    assert isinstance(dead, Dead)
    assert "1x" in dead.reason
    await stand.restart()
    assert (await stand.ask(order(4, "buy", "market", quantity="1"))).result is not None


async def test_an_engine_that_stops_half_way_goes_on_with_all_but_what_it_stopped_at(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    await stand.give(book(1, BIDS, ASKS), create(2), order(3, "buy", "limit", "mine", quantity="1", price="99"))
    await stand.give(trade(4, "sell", "99", "1.5"))
    assert not stand.handler.settled
    real = Tasks.carry_out

    def stopping(self: Tasks, asked: PaperCommand, now: int) -> dict[str, Any]:
        if asked.id == "poison":
            raise KeyError("a bug")
        return real(self, asked, now)

    monkeypatch.setattr(Tasks, "carry_out", stopping)
    with pytest.raises(KeyError):
        await stand.handler.handle(
            Batch([trade(5, "sell", "99", "0.25"), command(6, "order.cancel", "poison", id="mine")])
        )
    stand.unsettled.clear()  # a subscription looks for the poison in this batch alone
    (fill,) = [event for event in await stand.give(trade(7, "sell", "99", "0.75")) if isinstance(event, FillReport)]
    assert (fill.order, fill.quantity) == ("mine", "0.5")


async def test_the_journal_stays_short_and_a_restart_goes_through_little_of_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeper, "SNAPSHOT_INPUTS", 20)
    await stand.give(book(1, BIDS, ASKS), create(2))
    for number in range(100):
        await stand.give(order(number + 3, "buy", "limit", f"n{number}", quantity="0.1", price="90"))
        assert len(await stand.rows("paper_journal")) <= 45
    await stand.restart()
    assert stand.handler._keeper.inputs <= 20
    assert len(await stand.rows("paper_orders")) == 100
    canceled = await stand.ask(command(200, "order.cancel_all"))
    assert canceled.result is not None
    assert canceled.result["text"] == "100 orders canceled"


async def test_an_orderly_end_leaves_no_journal_to_go_through(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2), order(3, "buy", "limit", "mine", quantity="1", price="99"))
    await stand.give(trade(4, "sell", "99", "1.5"))
    assert not stand.handler.settled
    await stand.handler.close()
    await stand.begin_again()
    assert stand.handler._keeper.inputs == 0
    (fill,) = [event for event in await stand.give(trade(5, "sell", "99", "0.75")) if isinstance(event, FillReport)]
    assert (fill.order, fill.quantity) == ("mine", "0.25")


async def test_what_the_stream_has_lost_is_told_again(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2))
    await stand.give(order(3, "buy", "market", quantity="1"))
    told = list(stand.stream)
    del stand.stream[-3:]
    await stand.restart()
    stand.publish(await stand.handler.tick(0))
    assert stand.stream == told


class Crashing:
    """Makes the journal fail at one append: before the commit, or after it with the answer lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.next = ""
        real = journal.Journal.append

        async def append(this: journal.Journal, *args: Any) -> None:
            when, self.next = self.next, ""
            if when == "before":
                raise StoreUnavailable("away")
            await real(this, *args)
            if when == "after":
                raise StoreUnavailable("the answer was lost")

        monkeypatch.setattr(journal.Journal, "append", append)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sell", "buy", "book", "order", "market", "cancel", "protect", "halt"]),
        st.integers(95, 105),
        st.integers(1, 30),
        st.sampled_from(
            ["", "", "", "before", "after", "kill before", "kill after", "kill unpublished", "restart", "tick"]
        ),
    ),
    min_size=5,
    max_size=25,
)


def _event(number: int, kind: str, price: int, size: int) -> Event:  # noqa: PLR0911 # one a kind
    at = (number + 10) * MILLISECOND
    amount = f"{size / 10:.1f}"
    match kind:
        case "book":
            return book(
                at, {f"{price - 1}": amount, f"{price - 3}": "5"}, {f"{price + 1}": amount, f"{price + 2}": "5"}
            )
        case "order":
            return order(at, "buy" if size % 2 else "sell", "limit", quantity=amount, price=str(price))
        case "market":
            return order(at, "buy" if size % 2 else "sell", "market", quantity=amount)
        case "cancel":
            return command(at, "order.cancel", id=f"o{size}")
        case "protect":
            return command(at, "position.protect", symbol=SYMBOL, stop_loss="90", take_profit="130")
        case "halt":
            return command(at, "trading.halt", flatten=True) if size % 2 else command(at, "trading.resume")
        case side:
            return trade(at, side, str(price), amount)


async def _run(stand: Stand, flow: Sequence[tuple[Event, str]], crashing: Crashing) -> None:
    """Feed a flow as a subscription would: what was not acknowledged comes again, here with the event before it."""
    before: list[Event] = []
    for event, crash in flow:
        crashing.next = crash.removeprefix("kill ") if crash not in {"restart", "kill unpublished", "tick"} else ""
        stand.unsettled += [*before[-1:], event]
        while True:
            try:
                told = await stand.handler.handle(Batch(stand.unsettled))
            except StoreUnavailable:
                if crash.startswith("kill"):
                    await stand.restart()
                continue
            if crash == "kill unpublished":
                crash = ""  # noqa: PLW2901 # it happens once
                await stand.restart()
                continue
            stand.publish(told)
            stand.acknowledge()
            break
        if crash == "tick":
            crashing.next = "after"
            stand.publish(await stand.handler.tick(0))
        if crash == "restart":
            await stand.restart()
        before.append(event)
    crashing.next = ""
    stand.publish(await stand.handler.tick(0))
    assert stand.handler.settled


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_crashes_anywhere_lose_and_double_nothing(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int, int, str]]
):
    from tests.migrations.servers import fresh_database  # noqa: PLC0415 # here alone

    begin: list[Event] = [book(1, BIDS, ASKS), create(2), order(3, "buy", "market", quantity="5")]
    events = begin + [_event(number, *step[:3]) for number, step in enumerate(steps)]
    crashes = ["", "", "", *(step[3] for step in steps)]
    results = []
    for crashing in (False, True):
        async with fresh_database(postgres_dsn) as dsn:
            stand = await Stand(dsn).open()
            with monkeypatch.context() as patch:
                flow = [(event, crash if crashing else "") for event, crash in zip(events, crashes, strict=True)]
                await _run(stand, flow, Crashing(patch))
            tables = ("orders", "fills", "positions", "balances", "equity", "portfolios")
            results.append((stand.stream, {table: await stand.rows(f"paper_{table}") for table in tables}))
            await stand.handler.close()
    quiet, crashed = results
    assert [event.seq for event in crashed[0]] == list(range(1, len(crashed[0]) + 1))
    assert crashed[0] == quiet[0]
    assert crashed[1] == quiet[1]
    assert sum(isinstance(event, PaperReply) for event in quiet[0]) == sum(not hasattr(e, "symbol") for e in events)


async def test_a_process_that_has_lost_its_turn_stores_nothing(stand: Stand):
    await stand.give(book(1, BIDS, ASKS), create(2))
    old = stand.handler
    stand.handler = PaperHandler(stand.dsn, old._keeper._newest, stand.clock)
    assert (await stand.ask(order(3, "buy", "market", quantity="1"))).result is not None
    with pytest.raises(StoreUnavailable, match="another process"):
        await old.handle(Batch([order(4, "buy", "market", quantity="1")]))
    await old.close()
    assert len(await stand.rows("paper_fills")) == 1
