"""What came of a scenario, in the words and the shape of what its file expects, and where the two differ."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from bus.clock import MILLISECOND
from bus.paper import CommandRejected, FillReport, OrderReport
from handlers.paper import units
from handlers.paper.engine import Engine
from handlers.paper.instrument import InstrumentSpec

_ORDER_WORDS: Final = {"qty": "quantity", "stop": "stop_price"}
"""Where the file's word for an order's value is not ours."""


class Item(msgspec.Struct, frozen=True):
    """One expected value, by its path in `expect`, beside the one that was computed."""

    path: str
    expected: Any
    computed: Any
    agrees: bool


class Outcome(msgspec.Struct, frozen=True):
    """What was computed, and every item that the file expects."""

    computed: dict[str, Any]
    items: list[Item]

    @property
    def agrees(self) -> bool:
        """Whether everything is as expected."""
        return all(item.agrees for item in self.items)


class Journal:
    """Collects an account's reports while a scenario runs."""

    def __init__(self, portfolio: str, exchange: str, instrument: InstrumentSpec) -> None:
        self._portfolio = portfolio
        self._market = (exchange, instrument.symbol)
        self._fills: list[dict[str, Any]] = []
        self._orders: dict[str, OrderReport] = {}
        self._rejections: list[dict[str, Any]] = []

    def take(self, engine: Engine) -> None:
        """Take over what the engine has reported."""
        for report in engine.reports:
            t = report.ts // MILLISECOND
            if isinstance(report, FillReport):
                self._fills.append(
                    {
                        "t": t,
                        "order": report.order,
                        "price": report.price,
                        "qty": report.quantity,
                        "fee": report.fee,
                        "fee_ccy": report.fee_currency,
                        "liquidity": report.liquidity,
                    }
                )
            elif isinstance(report, OrderReport):
                self._orders[report.id] = report
            elif isinstance(report, CommandRejected):
                self._rejections.append({"t": t, "id": report.id, "reason": report.reason})
        engine.reports.clear()

    def outcome(self, engine: Engine, expect: Mapping[str, Any], checks: Sequence[Any]) -> Outcome:
        """Return everything that `expect` asks for; what it leaves null is not asked."""
        everything = {"fills": self._fills, "command_rejections": self._rejections, "checks": list(checks)}
        found = {**everything, **self.state(engine, expect)}
        computed = {name: found.get(name) for name in expect}
        return Outcome(computed, list(_compare("", dict(expect), computed)))

    def state(self, engine: Engine, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the account's present state, as far as it is asked for."""
        found: dict[str, Any] = {}
        for name, wanted in asked.items():
            if wanted is None:
                found[name] = None
            elif name == "orders":
                found[name] = {order: self._order(order, words) for order, words in wanted.items()}
            elif name == "balances":
                found[name] = {asset: _balance(engine, self._portfolio, asset) for asset in wanted}
            elif name == "position":
                position = self._position(engine)
                found[name] = {word: position.get(word) for word in wanted}
            elif name == "equity":
                found[name] = units.money_text(engine.portfolios[self._portfolio].equity())
            elif name == "stats":
                found[name] = self._stats(engine, wanted)
        return found

    def _order(self, order_id: str, words: Mapping[str, Any]) -> dict[str, Any] | None:
        report = self._orders.get(order_id)
        if report is None:
            return None
        return {word: getattr(report, _ORDER_WORDS.get(word, word), None) for word in words}

    def _position(self, engine: Engine) -> dict[str, str | None]:
        portfolio = engine.portfolios[self._portfolio]
        desk = portfolio.desks.get(self._market)
        if desk is None:
            return {"qty": "0", "avg_price": None}
        position = desk.position
        return {
            "qty": units.money_text(position.base),
            "avg_price": position.average(),
            "realized_gross": units.money_text(position.realized),
            "fees_quote": units.money_text(position.fees),
            "realized_net": units.money_text(position.realized - position.fees),
            "unrealized": units.money_text(desk.value - position.cost),
        }

    def _stats(self, engine: Engine, wanted: Mapping[str, Any]) -> dict[str, Any]:
        portfolio = engine.portfolios[self._portfolio]
        statistics = msgspec.structs.asdict(portfolio.statistics())
        return {word: _plain(statistics.get(word)) for word in wanted}


def _balance(engine: Engine, portfolio: str, asset: str) -> dict[str, str]:
    balance = engine.portfolios[portfolio].ledger.balance(asset)
    return {"total": units.money_text(balance.total), "locked": units.money_text(balance.locked)}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return format(value, "f") if isinstance(value, Decimal) else value


def _compare(path: str, expected: Any, computed: Any) -> Iterator[Item]:
    """Yield every leaf of `expected` with its counterpart."""
    if isinstance(expected, dict) and isinstance(computed, dict):
        for name, value in expected.items():
            yield from _compare(f"{path}.{name}" if path else name, value, computed.get(name))
    elif isinstance(expected, list) and isinstance(computed, list):
        for index in range(max(len(expected), len(computed))):
            here = f"{path}[{index}]"
            if index < len(expected) and index < len(computed):
                yield from _compare(here, expected[index], computed[index])
            else:
                yield Item(here, expected[index : index + 1], computed[index : index + 1], agrees=False)
    elif expected is not None:
        yield Item(path, expected, computed, _same(expected, computed))


def _same(expected: Any, computed: Any) -> bool:
    """Whether two values are the same; decimals compare by value."""
    if expected == computed:
        return True
    if isinstance(expected, bool) or isinstance(computed, bool):
        return False
    try:
        return Decimal(str(expected)) == Decimal(str(computed))
    except InvalidOperation:
        return False
