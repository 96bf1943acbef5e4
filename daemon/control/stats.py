"""The command stats: what this process has published, handled and stored since it began."""

from typing import Final

from prometheus_client import Counter, Gauge
from pydantic import JsonValue

from bus import metrics
from bus.clock import Clock
from daemon.control.command import Arguments, Command

TOTAL: Final = "_total"


class Nothing(Arguments):
    """No arguments."""


def stats(clock: Clock) -> Command[Nothing]:
    """Make `stats`: counts since this process began; `uptime` and `lag` are seconds."""
    began = clock.monotonic()

    async def run(_: Nothing) -> JsonValue:
        uptime = clock.monotonic() - began
        frames, duplicates, lags = _each(metrics.FRAMES), _each(metrics.ROWS_DUPLICATE), _each(metrics.HANDLER_LAG)
        return {
            "uptime": round(uptime, 3),
            "streams": [
                {
                    "stream": name,
                    "events": int(events),
                    "frames": int(frames[name]),
                    "events_per_second": round(events / uptime, 3) if uptime else None,
                }
                for name, events in sorted(_each(metrics.PUBLISHED).items())
            ],
            "handlers": [
                {"handler": name, "events": int(events), "lag": round(lags[name], 3) if name in lags else None}
                for name, events in sorted(_each(metrics.HANDLED).items())
            ],
            "tables": [
                {"table": name, "rows": int(rows), "duplicates": int(duplicates.get(name, 0))}
                for name, rows in sorted(_each(metrics.ROWS).items())
            ],
            "gaps": int(_sum(metrics.GAPS)),
            "dead_letters": int(_sum(metrics.DEAD)),
        }

    return Command("stats", Nothing, run)


def _each(metric: Counter | Gauge) -> dict[str, float]:
    """Return the values of a metric with one label, by that label."""
    return {
        value: sample.value
        for family in metric.collect()
        for sample in family.samples
        if isinstance(metric, Gauge) or sample.name.endswith(TOTAL)
        for value in sample.labels.values()
    }


def _sum(metric: Counter) -> float:
    return sum(s.value for family in metric.collect() for s in family.samples if s.name.endswith(TOTAL))
