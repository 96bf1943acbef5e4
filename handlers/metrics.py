"""Counts what passes over the bus, for Prometheus: how much, how old, how late."""

from collections import Counter
from collections.abc import Sequence

from bus import metrics
from bus.clock import SECOND, Clock, SystemClock
from bus.events import AnyMarketEvent, Event, MarketEvent, event_type
from bus.handler import Batch, Handler


class MetricsHandler(Handler):
    """Aggregates a batch before it touches a metric: looking a metric up costs more than everything else here."""

    name = "metrics"
    together = "stream"
    pace = 0.25
    start_at = "now"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Count a batch; delays are sampled once per exchange, channel and batch."""
        counts: Counter[tuple[str, type[AnyMarketEvent]]] = Counter()
        newest: dict[tuple[str, type[AnyMarketEvent]], AnyMarketEvent] = {}
        for event in batch.events:
            if isinstance(event, MarketEvent):
                key = (event.exchange, type(event))
                counts[key] += 1
                newest[key] = event
        for key, event in newest.items():
            channel = event_type(event)
            metrics.EVENTS_SEEN.labels(event.exchange, channel).inc(counts[key])
            if event.ts is not None:
                metrics.EVENT_AGE.labels(event.exchange, channel).observe(max(0, event.recv - event.ts) / SECOND)
                metrics.CLOCK_AHEAD.labels(event.exchange).set((event.ts - event.recv) / SECOND)
            metrics.BUS_DELAY.observe(max(0, self._clock.now() - event.recv) / SECOND)
        return ()
