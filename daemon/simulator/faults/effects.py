"""What a fault does to the exchange while it lasts: begun when made, undone by `lift`."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, NamedTuple

from bus.clock import MILLISECOND, Clock
from bus.errors import ConfigError
from daemon.nearest import did_you_mean
from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.faults.messages import CHANNELS, Strikes, Tampering, tampering
from daemon.simulator.faults.specs import (
    AcceptThenDrop,
    Cut,
    Delist,
    Fault,
    HalfOpen,
    Http,
    LostHistory,
    MessageFault,
    SequenceReset,
    SymbolFault,
)
from daemon.simulator.market import Market
from daemon.simulator.streams import Client, Stream


class World(NamedTuple):
    """What faults act on."""

    exchange: SimulatedExchange
    clock: Clock
    random: Random

    def markets(self, fault: SymbolFault) -> list[Market]:
        """Return the markets that a fault concerns. Raises ConfigError when there is no such symbol."""
        markets = self.exchange.markets
        if fault.symbol is None:
            return list(markets.values())
        market = markets.get(fault.symbol.replace("/", "").upper())
        if market is None:
            raise ConfigError(f"symbol {fault.symbol} is not traded here{did_you_mean(fault.symbol, markets)}")
        return [market]

    def streams(self, fault: MessageFault) -> Iterator[tuple[Market, Stream]]:
        """Yield the streams that a fault concerns."""
        wanted = [CHANNELS[fault.channel]] if fault.channel else list(CHANNELS.values())
        markets = {market.name.lower(): market for market in self.markets(fault)}
        for stream in self.exchange.streams:
            name = stream.name.decode()
            market = markets.get(name.partition("@")[0])
            if market is not None and any(channel.search(name) for channel in wanted):
                yield market, stream

    def clients(self, fault: SymbolFault) -> list[Client]:
        """Return the connections that listen to what a fault concerns."""
        if fault.symbol is None:
            return list(self.exchange.streams.clients)
        names = {market.name.lower() for market in self.markets(fault)}
        return [
            client
            for client in self.exchange.streams.clients
            if any(name.partition("@")[0] in names for name in client.streams)
        ]


class Effect:
    """A fault at work; each kind does its own in some of these places."""

    fired = 0
    """How often it has struck."""

    def due(self) -> None:
        """Do what has to be done as time passes; called in every slice of the simulation."""

    def lift(self) -> None:
        """Let it be over."""


class Messages(Effect):
    """Lets the messages of some streams be tampered with."""

    def __init__(self, fault: MessageFault, world: World) -> None:
        self._strikes = Strikes(fault, world.random)
        self._at_work: list[tuple[Stream, Tampering]] = []
        for market, stream in world.streams(fault):
            made = tampering(fault, self._strikes, market, world.clock)
            self._at_work.append((stream, made))
            stream.tamperings.append(made)

    def due(self) -> None:
        """Send what was held back long enough."""
        self.fired = self._strikes.fired
        for stream, at_work in self._at_work:
            for text in at_work.due():
                stream.put(text)

    def lift(self) -> None:
        """Leave the streams alone; what was held back goes out first."""
        self.fired = self._strikes.fired
        for stream, at_work in self._at_work:
            for text in at_work.lift():
                stream.put(text)
            stream.tamperings.remove(at_work)


class Ending(Effect):
    """Ends connections, after an announcement where one is asked for."""

    def __init__(self, fault: Cut, world: World) -> None:
        self._fault = fault
        self._world = world
        self._end = world.clock.monotonic() + fault.notice
        self._clients = world.clients(fault)
        self.fired = len(self._clients)
        if fault.notice:
            text = f'{{"e":"serverShutdown","E":{world.clock.now() // MILLISECOND}}}'
            for client in self._clients:
                client.tell(text)
        self.due()

    def due(self) -> None:
        """End the connections when it is time."""
        if not self._clients or self._world.clock.monotonic() < self._end:
            return
        for client in self._clients:
            if self._fault.clean:
                client.ending.set()
            else:
                client.abort()
        self._clients = []

    lift = due


class Muting(Effect):
    """Lets nothing more reach some connections."""

    def __init__(self, fault: HalfOpen, world: World) -> None:
        for client in world.clients(fault):
            client.dead = True
            self.fired += 1


class Resetting(Effect):
    """Begins the ids of book updates anew."""

    def __init__(self, fault: SequenceReset, world: World) -> None:
        for market in world.markets(fault):
            market.reset_sequence()
            self.fired += 1


class Halting(Effect):
    """Stops the trading of a symbol."""

    def __init__(self, fault: Delist, world: World) -> None:
        self._markets = world.markets(fault)
        for market in self._markets:
            market.halted = True
            self.fired += 1

    def lift(self) -> None:
        """Trade it again."""
        for market in self._markets:
            market.halted = False


class Losing(Effect):
    """Lets the REST API forget trades."""

    def __init__(self, fault: LostHistory, world: World) -> None:
        self._lost = range(fault.from_id, fault.to_id + 1)
        self._markets = world.markets(fault)
        for market in self._markets:
            market.trades.lost.append(self._lost)
            self.fired += 1

    def lift(self) -> None:
        """Let it remember them."""
        for market in self._markets:
            market.trades.lost.remove(self._lost)


class Dropping(Effect):
    """Drops new connections; the WebSocket API asks for it."""

    def __init__(self, fault: AcceptThenDrop, _: World) -> None:
        self.hold = fault.hold


class Answering(Effect):
    """Answers requests; the REST API and the WebSocket handshake ask for it."""

    def __init__(self, fault: Http, world: World) -> None:
        self.fault = fault
        self._clock = world.clock
        self._end = None if fault.seconds is None else world.clock.monotonic() + fault.seconds

    def retry_after(self) -> int | None:
        """Return what to tell the client, seconds; None without such a header."""
        if self.fault.status not in (418, 429):
            return None
        if self.fault.retry_after is not None:
            return self.fault.retry_after
        return None if self._end is None else max(1, round(self._end - self._clock.monotonic() + 0.5))


_EFFECTS: Final[dict[type[Fault], Callable[[Any, World], Effect]]] = {
    Cut: Ending,
    HalfOpen: Muting,
    SequenceReset: Resetting,
    Delist: Halting,
    LostHistory: Losing,
    AcceptThenDrop: Dropping,
    Http: Answering,
}


def begin(fault: Fault, world: World) -> Effect:
    """Let a fault begin."""
    return _EFFECTS.get(type(fault), Messages)(fault, world)
