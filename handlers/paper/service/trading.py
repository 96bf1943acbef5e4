"""The engine and what a person or a program deals with around it: commands by name, numbered outputs, equity.

No I/O, no clock, no chance: the same inputs in the same order give the same outputs, live or from the journal.
"""

from typing import Final, Self

import msgspec

from bus.clock import SECOND
from bus.events import Ticker
from bus.paper import AnyPaperEvent, EquityReport, FillReport, PaperCommand, PaperReply
from handlers.paper import snapshot, units
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument
from handlers.paper.portfolio import Portfolio
from handlers.paper.service.inputs import Input, Listed, Lost, Passed
from handlers.paper.service.tasks import Declined, Tasks

SAMPLE: Final = 60 * SECOND
"""How often the equity of portfolios that hold something is noted (ns, market time)."""
IDS_KEPT: Final = 10_000
"""Commands whose ids are remembered: far more than can come again."""


class State(msgspec.Struct):
    """Everything that paper trading knows; `engine` is a snapshot of its own."""

    engine: bytes
    seq: int
    sampled: int
    done: list[str]
    closed: list[str]
    equities: dict[str, str]


class PaperTrading:
    """Takes inputs; `outputs` grows, and whoever drives this takes it over."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()
        self.outputs: list[AnyPaperEvent] = []
        self.seq = 0
        """The number of the last output."""
        self.tasks = Tasks(self.engine)
        self._done: dict[str, None] = {}
        self._sampled = 0
        self._equities: dict[str, str] = {}

    def take(self, item: Input) -> bool:
        """Take in what is new; return False for what comes again, or is of no use here, and changes nothing.

        Raises ValueError for an event with numbers that are none: then nothing but time has passed.
        """
        if not self._taken(item):
            return False
        if self.engine.reports:
            self._tell()
        if self.engine.clock.now // SAMPLE > self._sampled:
            self._sample()
        return True

    def _taken(self, item: Input) -> bool:
        if isinstance(item, PaperCommand):
            return self._command(item)
        if isinstance(item, Listed):
            return self._listed(item)
        if isinstance(item, Passed):
            self.engine.advance(item.ts)
            return True
        if isinstance(item, Lost):
            return self._lost(item)
        if type(item) is Ticker:
            market = self.engine.markets.get((item.exchange, item.symbol))
            if market is None or market.has_book:
                return False
        return self.engine.on_event(item)

    def _listed(self, listed: Listed) -> bool:
        if (listed.exchange, listed.spec.symbol) in self.engine.markets:
            return False
        self.engine.list_instrument(Instrument(listed.exchange, listed.spec))
        return True

    def _lost(self, lost: Lost) -> bool:
        """What nobody delivers any more is not traded on, until a new snapshot or ticker comes."""
        found = False
        for (exchange, symbol), market in self.engine.markets.items():
            if exchange == lost.exchange and lost.symbol in ("*", symbol):
                channel, event = ("book", "Book") if market.has_book else ("ticker", "Ticker")
                latest = market.latest.get(event)
                if channel == lost.channel and latest is not None and latest.recv < lost.ts:
                    market.lose()
                    found = True
        return found

    def _command(self, command: PaperCommand) -> bool:
        if command.id in self._done:
            return False
        self._done[command.id] = None
        if len(self._done) > IDS_KEPT:
            del self._done[next(iter(self._done))]
        now = max(command.ts, self.engine.clock.now)
        try:
            reply = PaperReply(now, command.id, self.tasks.carry_out(command, now))
        except Declined as declined:
            reply = PaperReply(now, command.id, None, declined.code, str(declined))
        except ValueError as error:  # only market events may say that nothing has changed
            raise RuntimeError(f"command {command.name} stopped half-way: {error}") from error
        self._tell()
        self._number(reply)
        return True

    def _tell(self) -> None:
        """Take over what the engine reports; fills are followed by what their portfolio is worth then."""
        filled: dict[str, None] = {}
        for report in self.engine.reports:
            self._number(report)
            if type(report) is FillReport:
                filled[report.portfolio] = None
        self.engine.reports.clear()
        for name in filled:
            portfolio = self.engine.portfolios.get(name)
            if portfolio is not None:
                self._note_equity(portfolio)

    def _number(self, event: AnyPaperEvent) -> None:
        self.seq += 1
        self.outputs.append(msgspec.structs.replace(event, seq=self.seq))

    def _sample(self) -> None:
        """Note the equity of every portfolio in which it has moved."""
        self._sampled = self.engine.clock.now // SAMPLE
        for portfolio in self.engine.portfolios.values():
            if self._equities.get(portfolio.name) != units.money_text(portfolio.equity()):
                self._note_equity(portfolio)

    def _note_equity(self, portfolio: Portfolio) -> None:
        equity = self._equities[portfolio.name] = units.money_text(portfolio.equity())
        desks = portfolio.desks.values()
        self._number(
            EquityReport(
                portfolio.name,
                self.engine.clock.now,
                portfolio.currency,
                units.money_text(portfolio.invested),
                equity,
                units.money_text(sum(desk.position.realized for desk in desks)),
                units.money_text(sum(desk.value - desk.position.cost for desk in desks)),
                units.money_text(sum(desk.position.fees for desk in desks)),
            )
        )

    def dump(self) -> bytes:
        """Return the whole state between two inputs."""
        state = State(
            snapshot.dump(self.engine),
            self.seq,
            self._sampled,
            list(self._done),
            list(self.tasks.closed),
            self._equities,
        )
        return msgspec.msgpack.encode(state)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Return paper trading in the state that was dumped. Raises msgspec.DecodeError."""
        state = msgspec.msgpack.decode(data, type=State)
        trading = cls(snapshot.load(state.engine))
        trading.seq = state.seq
        trading._sampled = state.sampled
        trading._done = dict.fromkeys(state.done)
        trading.tasks.closed = dict.fromkeys(state.closed)
        trading._equities = state.equities
        return trading
