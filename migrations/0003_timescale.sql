-- requires: timescaledb
-- The event tables become hypertables, with what they hold. Repeating it changes nothing.

select create_hypertable('md.trades', by_range('ts', interval '1 day'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.tickers', by_range('ts', interval '1 day'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.book_snapshots', by_range('ts', interval '6 hours'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.book_deltas', by_range('ts', interval '6 hours'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.candles', by_range('open_ts', interval '30 days'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.mark_prices', by_range('ts', interval '1 day'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
