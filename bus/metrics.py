"""Every metric of marketd, in one typed list that the README's reference is checked against.

Base units, `_total` on counters, labels with few values only (never an id or a price).
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# publisher
PUBLISHED: Final = Counter("marketd_events_published_total", "Events written to the bus", ["stream"])
FRAMES: Final = Counter("marketd_frames_published_total", "Frames written to the bus", ["stream"])
RESENT: Final = Counter("marketd_frames_resent_total", "Frames written again after a reconnection")
PUBLISH_QUEUE: Final = Gauge("marketd_publish_queue_events", "Events waiting to be written to the bus")
PUBLISH_QUEUE_LIMIT: Final = Gauge("marketd_publish_queue_limit_events", "Events the queue holds before sockets wait")
SPOOL_BYTES: Final = Gauge("marketd_spool_bytes", "Events kept on disk while Redis is away")
SPOOLED: Final = Counter("marketd_spooled_events_total", "Events written to disk because Redis was away")
SPOOL_DROPPED: Final = Counter("marketd_spool_dropped_events_total", "Spooled events given up: the spool was full")
SPOOL_DAMAGED: Final = Counter("marketd_spool_damaged_total", "Spooled batches that could not be read back")
PUBLISH_SECONDS: Final = Histogram("marketd_publish_seconds", "Round trip of one write to the bus", buckets=_FAST)
PUBLISH_BLOCKED: Final = Counter("marketd_publish_blocked_seconds_total", "Time publishers waited for room")
CONFLATED: Final = Counter(
    "marketd_conflated_events_total", "Book updates summed up with a later one: Redis did not keep up", ["stream"]
)
FENCED: Final = Counter(
    "marketd_fenced_events_total", "Events left to the process that has taken the lease over", ["stream"]
)
BUS_CONNECTED: Final = Gauge("marketd_bus_connected", "1 while the bus is reachable")
BUS_RECONNECTS: Final = Counter("marketd_bus_reconnects_total", "Times the bus was reached again after a break")
TRIMMED: Final = Counter("marketd_trimmed_entries_total", "Stream entries removed by the trimming janitor", ["stream"])
FORCED_TRIMS: Final = Counter(
    "marketd_forced_trims_total", "Trims at the hard cap that overtook a handler still reading", ["stream"]
)

# subscriptions
HANDLED: Final = Counter("marketd_events_handled_total", "Events a handler has digested", ["handler"])
HANDLE_SECONDS: Final = Histogram("marketd_handle_seconds", "Time of one handler call", ["handler"], buckets=_FAST)
HANDLER_RETRIES: Final = Counter("marketd_handler_retries_total", "Batches tried again", ["handler", "reason"])
HANDLER_LAG: Final = Gauge(
    "marketd_handler_lag_seconds", "Age of the newest event a handler digests, or has digested", ["handler"]
)
DEAD: Final = Counter("marketd_dead_letters_total", "Entries written to the dead-letter stream", ["handler"])
LOST_FRAMES: Final = Counter("marketd_lost_frames_total", "Frames trimmed away before a handler read them", ["handler"])

# collectors
FRAMES_RECEIVED: Final = Counter(
    "marketd_frames_received_total", "Frames received from exchanges", ["exchange", "kind"]
)
FRAMES_CONTROL: Final = Counter(
    "marketd_frames_control_total", "Frames that are no data: acknowledgements, pings", ["exchange"]
)
FRAMES_UNKNOWN: Final = Counter(
    "marketd_frames_unknown_total", "Well-formed frames of a kind not known here", ["exchange"]
)
FRAMES_MALFORMED: Final = Counter("marketd_frames_malformed_total", "Frames that cannot become events", ["exchange"])
DUPLICATES: Final = Counter(
    "marketd_duplicates_dropped_total", "Events dropped as already published", ["exchange", "channel"]
)
CONNECTS: Final = Counter("marketd_connects_total", "WebSocket connections opened", ["exchange"])
DISCONNECTS: Final = Counter("marketd_disconnects_total", "WebSocket connections lost", ["exchange", "reason"])
STALE: Final = Counter(
    "marketd_stale_total", "Times a subscription fell silent past its deadline", ["exchange", "channel"]
)
FEEDS_LIVE: Final = Gauge("marketd_feeds_live", "Subscriptions that deliver", ["exchange"])
RESYNCS: Final = Counter("marketd_book_resyncs_total", "Order books started anew from a snapshot", ["exchange"])
REST_REQUESTS: Final = Counter("marketd_rest_requests_total", "REST requests by outcome", ["exchange", "outcome"])
REST_WEIGHT: Final = Gauge("marketd_rest_weight_used", "Request weight used in the current window", ["exchange"])
BREAKER_STATE: Final = Gauge("marketd_breaker_open", "1 while the breaker lets nothing through", ["exchange", "kind"])

FALLBACK_FEEDS: Final = Gauge(
    "marketd_fallback_feeds", "Feeds that another exchange delivers in place of their own", ["exchange", "fallback"]
)

# subscribers' own
EVENTS_SEEN: Final = Counter("marketd_events_total", "Events seen on the bus", ["exchange", "channel"])
EVENT_AGE: Final = Histogram(
    "marketd_event_delay_seconds", "From the exchange's time stamp to receipt", ["exchange", "channel"], buckets=_FAST
)
CLOCK_AHEAD: Final = Gauge(
    "marketd_exchange_clock_ahead_seconds",
    "The newest event's time less that of its receipt: beyond the usual delay, the clocks differ",
    ["exchange"],
)
BUS_DELAY: Final = Histogram("marketd_bus_delay_seconds", "From receipt to the metrics subscriber", buckets=_FAST)
QUALITY_FLAGS: Final = Counter("marketd_quality_flags_total", "Findings of validation", ["rule", "severity"])
QUALITY_SCORE: Final = Gauge(
    "marketd_quality_score", "Share of clean events in the last full hour", ["exchange", "channel"]
)
GAPS: Final = Counter("marketd_gaps_total", "Gaps found", ["exchange", "channel"])
GAPS_WAITING: Final = Gauge("marketd_gaps_waiting", "Gaps that wait to be healed", ["exchange"])
GAPS_HEALED: Final = Counter(
    "marketd_gaps_settled_total", "Gaps that healing has settled", ["exchange", "channel", "state"]
)
ROWS: Final = Counter("marketd_rows_written_total", "Rows newly stored", ["table"])
ROWS_DUPLICATE: Final = Counter("marketd_rows_duplicate_total", "Rows that were stored already", ["table"])
STORE_SECONDS: Final = Histogram("marketd_store_transaction_seconds", "One database transaction", buckets=_FAST)
STORE_CONNECTED: Final = Gauge("marketd_store_connected", "1 while the database is reachable")

# paper trading
PAPER_OPEN_ORDERS: Final = Gauge("marketd_paper_open_orders", "Paper orders that can still be filled")
PAPER_HALTED: Final = Gauge("marketd_paper_halted_portfolios", "Portfolios whose kill switch is pulled")
PAPER_FILLS: Final = Counter("marketd_paper_fills_total", "Executions of paper orders")
PAPER_COMMANDS: Final = Counter("marketd_paper_commands_total", "Commands to paper trading by outcome", ["outcome"])
PAPER_VIOLATIONS: Final = Counter(
    "marketd_paper_violations_total", "Rules of the accounts found broken: always 0", ["invariant"]
)
PAPER_RECOVERY: Final = Gauge("marketd_paper_recovery_seconds", "Time in which paper trading came back at its start")

# process
TASK_RESTARTS: Final = Counter("marketd_task_restarts_total", "Background tasks started again after a crash", ["task"])
LOOP_LAG: Final = Gauge("marketd_event_loop_lag_seconds", "How late the event loop wakes its watchdog")
COMMANDS: Final = Counter("marketd_commands_total", "Control commands by outcome", ["command", "status"])
