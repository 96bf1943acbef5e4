"""Who listens to which stream, and how a message becomes bytes on their sockets.

A message is framed once and shared by all its listeners; what a slice of the simulation brings goes to each socket in
one write. aiohttp does the handshake and everything the client sends; messages to it are written to the transport
directly, because its sender costs more per message than making the message does.
"""

import asyncio
from asyncio import WriteTransport as Transport
from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from typing import Final

FEWEST: Final = 126
_SHORT: Final = Struct("!BBH").pack
_LONG: Final = Struct("!BBQ").pack
TEXT_FRAME: Final = 0x81
SLOWEST: Final = 16 * 1024 * 1024
"""Bytes that may wait for a slow client before it is disconnected, as Binance does."""


def frame(payload: bytes) -> bytes:
    """A text message as a WebSocket frame from a server (RFC 6455, section 5.2: final, not masked)."""
    size = len(payload)
    if size < FEWEST:
        return bytes((TEXT_FRAME, size)) + payload
    if size < 1 << 16:
        return _SHORT(TEXT_FRAME, FEWEST, size) + payload
    return _LONG(TEXT_FRAME, 127, size) + payload


class Client:
    """One connection: what it listens to, and what waits to be written to it."""

    def __init__(self, transport: Transport, *, combined: bool) -> None:
        self._transport = transport
        self.combined = combined
        self.streams: dict[str, None] = {}
        """Names in the order of subscribing."""
        self.out: list[bytes] = []
        self.too_slow = False
        self.heard = 0.0
        """When it last sent anything, monotonic seconds."""
        self.muted = False
        """Whether it gets no data."""
        self.dead = False
        """Whether nothing at all reaches it any more, although its connection is open."""
        self.ending = asyncio.Event()
        """Set when its connection is to be closed."""

    def flush(self) -> None:
        """Write what this slice brought."""
        if self.out and not (self.too_slow or self.muted or self.dead or self._transport.is_closing()):
            if self._transport.get_write_buffer_size() > SLOWEST:
                self.too_slow = True
            else:
                self._transport.write(b"".join(self.out))
        self.out.clear()

    def tell(self, data: str) -> None:
        """Send something to this client alone, with what else the slice brings."""
        self.out.append(frame(data.encode()))

    def abort(self) -> None:
        """Let its line be dead at once, without a word."""
        self._transport.abort()


class Stream:
    """One stream's listeners, by whether they want the combined form."""

    __slots__ = ("combined", "name", "raw", "sent", "tamperings")

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.tamperings: list[Callable[[str], Iterable[str]]] = []
        """What faults make of its messages, one after the other."""
        self.raw: set[Client] = set()
        self.combined: set[Client] = set()
        self.sent = 0
        """Messages given to whoever listened."""

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self.raw or self.combined)

    def send(self, data: str) -> None:
        """Give a message to everybody who listens, as it is or as faults leave it."""
        if not self.tamperings:
            self.put(data)
            return
        texts = [data]
        for tamper in self.tamperings:
            texts = [changed for text in texts for changed in tamper(text)]
        for text in texts:
            self.put(text)

    def put(self, data: str) -> None:
        """Give a message to everybody who listens."""
        payload = data.encode()
        self.sent += 1
        if self.raw:
            framed = frame(payload)
            for client in self.raw:
                client.out.append(framed)
        if self.combined:
            framed = frame(b'{"stream":"%b","data":%b}' % (self.name, payload))
            for client in self.combined:
                client.out.append(framed)


class Streams:
    """All streams by name. A stream exists once somebody names it, so that publishers may hold on to it."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self.clients: set[Client] = set()

    def get(self, name: str) -> Stream:
        """Return a stream."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Stream(name)
        return stream

    def __iter__(self) -> Iterator[Stream]:
        """Iterate over all that exist."""
        return iter(self._streams.values())

    def subscribe(self, client: Client, name: str) -> None:
        """Let a client listen."""
        client.streams[name] = None
        stream = self.get(name)
        (stream.combined if client.combined else stream.raw).add(client)

    def unsubscribe(self, client: Client, name: str) -> None:
        """Let a client listen no more."""
        if name in client.streams:
            del client.streams[name]
            stream = self._streams[name]
            (stream.combined if client.combined else stream.raw).discard(client)

    def change_form(self, client: Client, *, combined: bool) -> None:
        """Send to a client in the combined form, or no longer."""
        names = list(client.streams)
        for name in names:
            self.unsubscribe(client, name)
        client.combined = combined
        for name in names:
            self.subscribe(client, name)

    def join(self, client: Client) -> None:
        """A client has connected."""
        self.clients.add(client)

    def leave(self, client: Client) -> None:
        """A client has gone."""
        for name in list(client.streams):
            self.unsubscribe(client, name)
        self.clients.discard(client)

    def flush(self) -> None:
        """Write to everybody what this slice brought."""
        for client in self.clients:
            client.flush()
