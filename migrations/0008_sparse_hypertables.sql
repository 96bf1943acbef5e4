-- requires: timescaledb
-- The tables with few rows become hypertables, too: what is kept, compressed and dropped goes the same way everywhere.

select create_hypertable('md.funding_rates', by_range('ts', interval '30 days'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.open_interest', by_range('ts', interval '30 days'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
select create_hypertable('md.liquidations', by_range('ts', interval '30 days'), create_default_indexes => false, if_not_exists => true, migrate_data => true);
