-- requires: timescaledb-community
-- Compression of the sparse tables, and larger candles as continuous aggregates under the names and columns of the plain
-- views. They are real-time: buckets that are not materialised yet are computed from the minutes. A minute that comes
-- late for a materialised bucket shows at the next refresh, every ten minutes; the open bucket is never materialised.

alter table md.funding_rates set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
alter table md.open_interest set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
alter table md.liquidations set (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts, recv_ns');
select add_compression_policy('md.funding_rates', interval '60 days', if_not_exists => true);
select add_compression_policy('md.open_interest', interval '60 days', if_not_exists => true);
select add_compression_policy('md.liquidations', interval '60 days', if_not_exists => true);

create materialized view md.candles_5m with (timescaledb.continuous, timescaledb.materialized_only = false) as
select instrument_id, time_bucket('5 minutes', open_ts) as bucket, max(ts) as ts, first(open, open_ts) as open,
    max(high) as high, min(low) as low, last(close, open_ts) as close, sum(volume) as volume, sum(trades)::int8 as trades,
    max(open_ts) as last_minute, last(closed, open_ts) as last_closed
from md.candles
where timeframe = '1m'
group by instrument_id, bucket
with no data;
select add_continuous_aggregate_policy('md.candles_5m', start_offset => null, end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes');
create or replace view candles_5m as
select i.exchange, i.symbol, c.ts, '5m'::text as timeframe, c.bucket as open_ts, c.open, c.high, c.low, c.close, c.volume,
    c.trades, c.last_closed and c.last_minute + interval '1 minute' >= c.bucket + interval '5 minutes' as closed
from md.candles_5m c join md.instruments i using (instrument_id);

create materialized view md.candles_15m with (timescaledb.continuous, timescaledb.materialized_only = false) as
select instrument_id, time_bucket('15 minutes', open_ts) as bucket, max(ts) as ts, first(open, open_ts) as open,
    max(high) as high, min(low) as low, last(close, open_ts) as close, sum(volume) as volume, sum(trades)::int8 as trades,
    max(open_ts) as last_minute, last(closed, open_ts) as last_closed
from md.candles
where timeframe = '1m'
group by instrument_id, bucket
with no data;
select add_continuous_aggregate_policy('md.candles_15m', start_offset => null, end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes');
create or replace view candles_15m as
select i.exchange, i.symbol, c.ts, '15m'::text as timeframe, c.bucket as open_ts, c.open, c.high, c.low, c.close, c.volume,
    c.trades, c.last_closed and c.last_minute + interval '1 minute' >= c.bucket + interval '15 minutes' as closed
from md.candles_15m c join md.instruments i using (instrument_id);

create materialized view md.candles_1h with (timescaledb.continuous, timescaledb.materialized_only = false) as
select instrument_id, time_bucket('1 hour', open_ts) as bucket, max(ts) as ts, first(open, open_ts) as open,
    max(high) as high, min(low) as low, last(close, open_ts) as close, sum(volume) as volume, sum(trades)::int8 as trades,
    max(open_ts) as last_minute, last(closed, open_ts) as last_closed
from md.candles
where timeframe = '1m'
group by instrument_id, bucket
with no data;
select add_continuous_aggregate_policy('md.candles_1h', start_offset => null, end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes');
create or replace view candles_1h as
select i.exchange, i.symbol, c.ts, '1h'::text as timeframe, c.bucket as open_ts, c.open, c.high, c.low, c.close, c.volume,
    c.trades, c.last_closed and c.last_minute + interval '1 minute' >= c.bucket + interval '1 hour' as closed
from md.candles_1h c join md.instruments i using (instrument_id);

create materialized view md.candles_4h with (timescaledb.continuous, timescaledb.materialized_only = false) as
select instrument_id, time_bucket('4 hours', open_ts) as bucket, max(ts) as ts, first(open, open_ts) as open,
    max(high) as high, min(low) as low, last(close, open_ts) as close, sum(volume) as volume, sum(trades)::int8 as trades,
    max(open_ts) as last_minute, last(closed, open_ts) as last_closed
from md.candles
where timeframe = '1m'
group by instrument_id, bucket
with no data;
select add_continuous_aggregate_policy('md.candles_4h', start_offset => null, end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes');
create or replace view candles_4h as
select i.exchange, i.symbol, c.ts, '4h'::text as timeframe, c.bucket as open_ts, c.open, c.high, c.low, c.close, c.volume,
    c.trades, c.last_closed and c.last_minute + interval '1 minute' >= c.bucket + interval '4 hours' as closed
from md.candles_4h c join md.instruments i using (instrument_id);

create materialized view md.candles_1d with (timescaledb.continuous, timescaledb.materialized_only = false) as
select instrument_id, time_bucket('1 day', open_ts) as bucket, max(ts) as ts, first(open, open_ts) as open,
    max(high) as high, min(low) as low, last(close, open_ts) as close, sum(volume) as volume, sum(trades)::int8 as trades,
    max(open_ts) as last_minute, last(closed, open_ts) as last_closed
from md.candles
where timeframe = '1m'
group by instrument_id, bucket
with no data;
select add_continuous_aggregate_policy('md.candles_1d', start_offset => null, end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes');
create or replace view candles_1d as
select i.exchange, i.symbol, c.ts, '1d'::text as timeframe, c.bucket as open_ts, c.open, c.high, c.low, c.close, c.volume,
    c.trades, c.last_closed and c.last_minute + interval '1 minute' >= c.bucket + interval '1 day' as closed
from md.candles_1d c join md.instruments i using (instrument_id);
