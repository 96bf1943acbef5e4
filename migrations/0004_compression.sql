-- requires: timescaledb-community
-- Columnar compression of chunks that no longer change. Nothing is ever deleted unless retention is configured.

alter table md.trades set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, id');
alter table md.tickers set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
alter table md.book_snapshots set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
alter table md.book_deltas set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
alter table md.candles set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id, timeframe', timescaledb.compress_orderby = 'open_ts');
alter table md.mark_prices set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
select add_compression_policy('md.trades', interval '2 days', if_not_exists => true);
select add_compression_policy('md.tickers', interval '2 days', if_not_exists => true);
select add_compression_policy('md.book_snapshots', interval '12 hours', if_not_exists => true);
select add_compression_policy('md.book_deltas', interval '12 hours', if_not_exists => true);
select add_compression_policy('md.candles', interval '60 days', if_not_exists => true);
select add_compression_policy('md.mark_prices', interval '2 days', if_not_exists => true);
