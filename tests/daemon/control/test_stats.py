"""stats: what the counters of this process say, by stream, handler and table."""

import json

from bus import metrics
from bus.clock import ManualClock
from daemon.control.request import Request
from daemon.control.stats import stats

REQUEST = Request("1-0", "1-0", "", "stats", {}, None, None)


async def test_what_was_published_handled_and_stored_is_counted():
    clock = ManualClock()
    command = stats(clock)
    metrics.PUBLISHED.labels("md:here:trade").inc(50)
    metrics.FRAMES.labels("md:here:trade").inc(7)
    metrics.HANDLED.labels("here").inc(49)
    metrics.HANDLER_LAG.labels("here").set(0.25)
    metrics.ROWS.labels("here").inc(48)
    before = await command.run(command.parse({}), REQUEST)
    metrics.ROWS_DUPLICATE.labels("here").inc(2)
    metrics.GAPS.labels("here", "trade").inc()
    metrics.GAPS.labels("here", "book").inc()
    metrics.DEAD.labels("here").inc(3)
    clock.advance(10)
    told = json.loads(json.dumps(await command.run(command.parse({}), REQUEST)))
    assert told["uptime"] == 10
    stream = {"stream": "md:here:trade", "events": 50, "frames": 7, "events_per_second": 5.0}
    assert stream in told["streams"]
    assert {"handler": "here", "events": 49, "lag": 0.25} in told["handlers"]
    assert {"table": "here", "rows": 48, "duplicates": 0} in before["tables"]
    assert {"table": "here", "rows": 48, "duplicates": 2} in told["tables"]
    assert told["gaps"] - before["gaps"] == 2
    assert told["dead_letters"] - before["dead_letters"] == 3
    assert before["uptime"] == 0
    assert {**stream, "events_per_second": None} in before["streams"]
