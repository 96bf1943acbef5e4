"""Drives a translator with a recording as a collector would drive it with sockets; nothing here does network I/O."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from bus.clock import SECOND, Clock, SystemClock
from bus.errors import MalformedFrame
from bus.interface import EventBus
from daemon.exchanges.base import Exchange, Request, Translated
from daemon.recording.reader import Line

MAX_KEPT: Final = 1_000
"""REST answers kept that nobody has asked for yet; the oldest go first."""
YIELD_EVERY: Final = 256
"""Lines after which a replay at full speed lets others run."""
_SIZE_PARAMS: Final = frozenset({"limit", "depth", "count", "sz"})
"""Parameters that say how much to answer, not about what."""

_Key = tuple[str, frozenset[tuple[str, str]]]


class _Answers:
    """The recorded REST answers and the calls that wait for them.

    A call is answered by a line with the same path and the same parameters, sizes apart; parameters that the line has
    beyond them do not matter. Each line answers at most one call, so that an answer which is too old cannot be asked
    for in a circle.
    """

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._kept: OrderedDict[_Key, str] = OrderedDict()

    def ask(self, request: Request) -> str | None:
        """Return the newest kept answer to a call; without one the call waits."""
        for key in reversed(self._kept):
            if _fits(request, key):
                return self._kept.pop(key)
        self._waiting.append(request)
        return None

    def offer(self, line: Line) -> Request | None:
        """Return the call that a line answers; a line that answers none is kept in place of an older one like it."""
        url = urlsplit(line.u)
        key = (url.path, frozenset(pair for pair in parse_qsl(url.query) if pair[0] not in _SIZE_PARAMS))
        for request in self._waiting:
            if _fits(request, key):
                self._waiting.remove(request)
                return request
        self._kept.pop(key, None)
        self._kept[key] = line.d
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return None


def _fits(request: Request, key: _Key) -> bool:
    path, params = key
    about = {pair for pair in request.params.items() if pair[0] not in _SIZE_PARAMS}
    return path == request.path and about <= params


class Replay:
    """One pass of a recording through a translator: iterating yields (f, events) for what gives rise to events.

    `f` counts the WebSocket frames from 0; events from a REST answer carry the number of the frame before it, -1
    before the first one. Frames that cannot become events are counted in `malformed`, the last reason kept.
    """

    def __init__(self, recording: Iterable[Line], exchange: Exchange) -> None:
        self._recording = recording
        self._exchange = exchange
        self._answers = _Answers()
        self._connections: dict[str, int] = {}
        for request in exchange.instruments_requests():
            self._answers.ask(request)
        self._recv = 0
        self.frame = -1
        """The number of the last WebSocket frame."""
        self.frame_time: int | None = None
        """When the last WebSocket frame was received (ns)."""
        self.malformed = 0
        self.reason = ""

    def __iter__(self) -> Iterator[tuple[int, list[Translated]]]:
        for line in self._recording:
            # Strictly rising, as a collector makes it: an event without an id has this for its identity.
            self._recv = max(line.t, self._recv + 1)
            events = self._frame(line) if line.k == "ws" else self._rest(line)
            events += self._asked()
            self._exchange.notices.clear()
            if events:
                yield self.frame, events

    def _frame(self, line: Line) -> list[Translated]:
        self.frame += 1
        self.frame_time = line.t
        try:
            return self._exchange.parse(line.d.encode(), self._recv, self._connection(line.u))
        except MalformedFrame as error:
            return self._reject(f"frame {self.frame}: {error}")

    def _connection(self, url: str) -> int:
        """Return the number of the connection that a line came on: one for each URL."""
        number = self._connections.get(url)
        if number is None:
            number = self._connections[url] = len(self._connections) + 1
            self._exchange.connected(number, url)
        return number

    def _rest(self, line: Line) -> list[Translated]:
        request = self._answers.offer(line)
        return [] if request is None else self._answer(request, line.d)

    def _asked(self) -> list[Translated]:
        """Answer what the translator has asked for meanwhile, as far as the recording has it already."""
        events: list[Translated] = []
        while self._exchange.requests:
            request = self._exchange.requests.popleft()
            text = self._answers.ask(request)
            if text is not None:
                events += self._answer(request, text)
        return events

    def _answer(self, request: Request, text: str) -> list[Translated]:
        try:
            return self._exchange.answer(request, text, self._recv)
        except MalformedFrame as error:
            self._exchange.failed(request)
            return self._reject(f"REST answer after frame {self.frame}: {error}")

    def _reject(self, reason: str) -> list[Translated]:
        self.malformed += 1
        self.reason = reason
        return []


def replay(recording: Iterable[Line], exchange: Exchange) -> Replay:
    """Play a recording through a translator whose source is `replay`; iterate over what it returns."""
    exchange.source = "replay"
    return Replay(recording, exchange)


def event_to_json(event: Translated, f: int) -> str:
    """Return an event as one line of JSON: `f`, `type` and every field, null where it has no value."""
    return f'{{"f":{f},{msgspec.json.encode(event)[1:].decode()}'


async def replay_onto(
    bus: EventBus, recording: Iterable[Line], exchange: Exchange, speed: float | None = 1.0, clock: Clock | None = None
) -> Replay:
    """Publish a recording onto a bus at `speed` times its own pace, None as fast as the bus takes it.

    The pace is that of the WebSocket frames: REST answers may have been recorded at another time. Returns the
    finished pass with its counts. Raises BusUnavailable.
    """
    clock = clock or SystemClock()
    run = replay(recording, exchange)
    begun, first = clock.monotonic(), None
    for count, (_, events) in enumerate(run):
        if first is None:
            first = run.frame_time
        if speed is not None and first is not None and run.frame_time is not None:
            await clock.sleep(begun + (run.frame_time - first) / SECOND / speed - clock.monotonic())
        elif count % YIELD_EVERY == 0:
            await clock.sleep(0)
        await bus.publish(events)
    return run
