"""Feeds without continuous ids: a disconnection or a silence is itself the gap, from the last event to the next one."""

from dataclasses import dataclass

from bus.events import Feed, MarketEvent


@dataclass
class Interruption:
    """One feed's newest event, and since when and why it has been interrupted."""

    ts: int
    """Time of the newest event (ns; the exchange's, else of receipt)."""
    recv: int
    since: int | None = None
    """When the interruption was reported (ns, our clock); None while the feed delivers."""
    reason: str = ""

    def reported(self, feed: Feed) -> None:
        """Note what the collector says of the feed."""
        if feed.state in ("down", "stale", "connecting") and self.since is None:
            self.since = feed.ts
            self.reason = feed.reason or ("collection was interrupted" if feed.state == "connecting" else feed.state)

    def take(self, event: MarketEvent) -> tuple[int, int, str] | None:
        """Note an event; return the interval and the reason when it ends an interruption."""
        ts = event.recv if event.ts is None else event.ts
        ended = None
        if self.since is not None and event.recv >= self.since:
            ended = (self.ts, max(self.ts, ts), self.reason)
            self.since, self.reason = None, ""
        if event.recv > self.recv:
            self.recv, self.ts = event.recv, max(self.ts, ts)
        return ended
