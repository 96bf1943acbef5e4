"""Which of several processes with the same feeds publishes them, and how one takes over from another."""

from collections.abc import Callable, Sequence

from bus.events import MARKET_CHANNELS, Candle, Feed, MarketEvent, event_type
from bus.interface import EventBus
from bus.leadership import Leadership
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey


class Turns:
    """One exchange's turn to publish. Both processes collect; the one without the lease keeps what it has."""

    def __init__(
        self, exchange: str, lost: Callable[[Sequence[FeedKey]], None], leadership: Leadership, bus: EventBus,
        outbox: Outbox,
    ) -> None:  # fmt: skip
        """`lost` starts books anew."""
        self._exchange = exchange
        self._lost = lost
        self._outbox = outbox
        self._leadership = leadership
        bus.fence(exchange, leadership.lease)

    async def begin(self) -> None:
        """Find out whose turn it is, before anything is published."""
        await self._leadership.renew()
        if not self._leadership.held:
            self._outbox.stand_by()

    async def run(self) -> None:
        """Take over and stand by until cancelled."""
        while True:
            await self._leadership.gained()
            seam = await self._outbox.take_over(self._exchange, MARKET_CHANNELS)
            for event in seam.torn:
                self._tear(event)
            await self._outbox.publish()
            await self._leadership.lost()
            self._outbox.stand_by()

    def end(self) -> None:
        """Say nothing more where another process goes on: its feeds are not down because ours end."""
        if self._leadership.taken:
            self._outbox.stand_by()

    def _tear(self, event: MarketEvent) -> None:
        """Say that something may be missing before an event; a book starts anew."""
        channel, timeframe = event_type(event), event.timeframe if isinstance(event, Candle) else ""
        named = f"{channel}:{timeframe}" if timeframe else channel
        reason = "taken over from another process with a hole"
        self._outbox.say(Feed(event.recv, event.exchange, event.symbol, named, "down", reason))
        self._outbox.say(Feed(event.recv, event.exchange, event.symbol, named, "live"))
        if channel == "book":
            self._lost([FeedKey(event.symbol, channel)])
