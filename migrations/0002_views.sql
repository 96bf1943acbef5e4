-- The names that programs query.

create view instruments as
select exchange, symbol, updated_at as ts, native, base, quote, kind, active, tick_size, lot_size, min_amount, min_notional
from md.instruments;

create view trades as
select i.exchange, i.symbol, e.ts, e.id, e.price, e.amount, e.side, md.at(e.recv_ns) as recv, e.source
from md.trades e join md.instruments i using (instrument_id);

create view tickers as
select i.exchange, i.symbol, e.ts, e.bid, e.bid_size, e.ask, e.ask_size, e.last, e.open, e.high, e.low, e.volume,
    e.quote_volume, md.at(e.recv_ns) as recv, e.source
from md.tickers e join md.instruments i using (instrument_id);

create view book_snapshots as
select i.exchange, i.symbol, e.ts, 'snapshot'::text as kind, e.bids, e.asks, e.first_id, e.last_id, e.prev_id, e.checksum,
    md.at(e.recv_ns) as recv, e.source
from md.book_snapshots e join md.instruments i using (instrument_id);

create view book_deltas as
select i.exchange, i.symbol, e.ts, 'delta'::text as kind, e.bids, e.asks, e.first_id, e.last_id, e.prev_id, e.checksum,
    md.at(e.recv_ns) as recv, e.source
from md.book_deltas e join md.instruments i using (instrument_id);

create view candles as
select i.exchange, i.symbol, e.ts, e.timeframe, e.open_ts, e.open, e.high, e.low, e.close, e.volume, e.trades, e.closed,
    md.at(e.recv_ns) as recv, e.source
from md.candles e join md.instruments i using (instrument_id);

create view funding_rates as
select i.exchange, i.symbol, e.ts, e.rate, e.next_ts, md.at(e.recv_ns) as recv, e.source
from md.funding_rates e join md.instruments i using (instrument_id);

create view mark_prices as
select i.exchange, i.symbol, e.ts, e.mark, e.index, md.at(e.recv_ns) as recv, e.source
from md.mark_prices e join md.instruments i using (instrument_id);

create view open_interest as
select i.exchange, i.symbol, e.ts, e.amount, e.value, md.at(e.recv_ns) as recv, e.source
from md.open_interest e join md.instruments i using (instrument_id);

create view liquidations as
select i.exchange, i.symbol, e.ts, e.id, e.side, e.price, e.amount, md.at(e.recv_ns) as recv, e.source
from md.liquidations e join md.instruments i using (instrument_id);

-- Candles of larger sizes, from one-minute candles. `closed` once the last minute of the bucket is.

create view candles_5m as
select i.exchange, i.symbol, c.ts, '5m'::text as timeframe, c.open_ts, c.open, c.high, c.low, c.close, c.volume, c.trades, c.closed
from (
    select instrument_id, date_bin('5 minutes', open_ts, timestamptz '2000-01-01 00:00+00') as open_ts, max(ts) as ts,
        (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by open_ts desc))[1] as close, sum(volume) as volume, sum(trades)::int8 as trades,
        bool_or(closed and date_bin('5 minutes', open_ts + interval '1 minute', timestamptz '2000-01-01 00:00+00')
            > date_bin('5 minutes', open_ts, timestamptz '2000-01-01 00:00+00')) as closed
    from md.candles
    where timeframe = '1m'
    group by instrument_id, 2
) c join md.instruments i using (instrument_id);

create view candles_15m as
select i.exchange, i.symbol, c.ts, '15m'::text as timeframe, c.open_ts, c.open, c.high, c.low, c.close, c.volume, c.trades, c.closed
from (
    select instrument_id, date_bin('15 minutes', open_ts, timestamptz '2000-01-01 00:00+00') as open_ts, max(ts) as ts,
        (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by open_ts desc))[1] as close, sum(volume) as volume, sum(trades)::int8 as trades,
        bool_or(closed and date_bin('15 minutes', open_ts + interval '1 minute', timestamptz '2000-01-01 00:00+00')
            > date_bin('15 minutes', open_ts, timestamptz '2000-01-01 00:00+00')) as closed
    from md.candles
    where timeframe = '1m'
    group by instrument_id, 2
) c join md.instruments i using (instrument_id);

create view candles_1h as
select i.exchange, i.symbol, c.ts, '1h'::text as timeframe, c.open_ts, c.open, c.high, c.low, c.close, c.volume, c.trades, c.closed
from (
    select instrument_id, date_bin('1 hour', open_ts, timestamptz '2000-01-01 00:00+00') as open_ts, max(ts) as ts,
        (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by open_ts desc))[1] as close, sum(volume) as volume, sum(trades)::int8 as trades,
        bool_or(closed and date_bin('1 hour', open_ts + interval '1 minute', timestamptz '2000-01-01 00:00+00')
            > date_bin('1 hour', open_ts, timestamptz '2000-01-01 00:00+00')) as closed
    from md.candles
    where timeframe = '1m'
    group by instrument_id, 2
) c join md.instruments i using (instrument_id);

create view candles_4h as
select i.exchange, i.symbol, c.ts, '4h'::text as timeframe, c.open_ts, c.open, c.high, c.low, c.close, c.volume, c.trades, c.closed
from (
    select instrument_id, date_bin('4 hours', open_ts, timestamptz '2000-01-01 00:00+00') as open_ts, max(ts) as ts,
        (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by open_ts desc))[1] as close, sum(volume) as volume, sum(trades)::int8 as trades,
        bool_or(closed and date_bin('4 hours', open_ts + interval '1 minute', timestamptz '2000-01-01 00:00+00')
            > date_bin('4 hours', open_ts, timestamptz '2000-01-01 00:00+00')) as closed
    from md.candles
    where timeframe = '1m'
    group by instrument_id, 2
) c join md.instruments i using (instrument_id);

create view candles_1d as
select i.exchange, i.symbol, c.ts, '1d'::text as timeframe, c.open_ts, c.open, c.high, c.low, c.close, c.volume, c.trades, c.closed
from (
    select instrument_id, date_bin('1 day', open_ts, timestamptz '2000-01-01 00:00+00') as open_ts, max(ts) as ts,
        (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by open_ts desc))[1] as close, sum(volume) as volume, sum(trades)::int8 as trades,
        bool_or(closed and date_bin('1 day', open_ts + interval '1 minute', timestamptz '2000-01-01 00:00+00')
            > date_bin('1 day', open_ts, timestamptz '2000-01-01 00:00+00')) as closed
    from md.candles
    where timeframe = '1m'
    group by instrument_id, 2
) c join md.instruments i using (instrument_id);

-- The last price and the last 24 hours: from the newest 24-hour ticker, else from the newest trade and one-minute candles.
create view latest_prices as
select i.exchange, i.symbol, coalesce(k.ts, t.ts) as ts, coalesce(k.last, t.price) as price,
    coalesce(k.last - k.open, t.price - c.open) as change_24h,
    round(coalesce((k.last - k.open) * 100 / nullif(k.open, 0), (t.price - c.open) * 100 / nullif(c.open, 0)), 4)
        as change_24h_percent,
    coalesce(k.volume, c.volume) as volume, coalesce(k.high, c.high) as high_24h, coalesce(k.low, c.low) as low_24h
from md.instruments i
left join lateral (
    select ts, last, open, high, low, volume from md.tickers
    where instrument_id = i.instrument_id and last is not null order by ts desc limit 1
) k on true
left join lateral (
    select ts, price from md.trades
    where instrument_id = i.instrument_id and k.ts is null order by ts desc, length(id) desc, id desc limit 1
) t on true
left join lateral (
    select (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low, sum(volume) as volume
    from md.candles
    where instrument_id = i.instrument_id and timeframe = '1m' and k.ts is null and open_ts > t.ts - interval '24 hours'
) c on true
where k.ts is not null or t.ts is not null;

-- For each feed and UTC day between the feed's first and last stored event: the share of the day's time, within that
-- span, that lies in no gap that is still open, filling or unfillable. A gap without an end reaches to the last event; one
-- without a beginning has no extent that could be measured. First and last are looked up in the primary keys.
create view feed_completeness as
with spans as (
    select exchange, symbol, 'trade' as channel,
        (select min(ts) from md.trades e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.trades e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'ticker' as channel,
        (select min(ts) from md.tickers e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.tickers e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'book' as channel,
        (select min(ts) from md.book_deltas e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.book_deltas e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'candle' as channel,
        (select min(open_ts) from md.candles e where e.instrument_id = i.instrument_id) as first,
        (select max(open_ts) from md.candles e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'funding' as channel,
        (select min(ts) from md.funding_rates e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.funding_rates e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'mark_price' as channel,
        (select min(ts) from md.mark_prices e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.mark_prices e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'open_interest' as channel,
        (select min(ts) from md.open_interest e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.open_interest e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
    union all
    select exchange, symbol, 'liquidation' as channel,
        (select min(ts) from md.liquidations e where e.instrument_id = i.instrument_id) as first,
        (select max(ts) from md.liquidations e where e.instrument_id = i.instrument_id) as last
    from md.instruments i
), days as (
    select exchange, symbol, channel, day, greatest(first, day) as from_ts, least(last, day + interval '24 hours') as to_ts
    from spans, generate_series(date_trunc('day', first, 'UTC'), last, interval '24 hours') day
)
select exchange, symbol, channel, day as ts,
    case when to_ts = from_ts then 1.0 else round(1 - coalesce(extract(epoch from (
        select sum(upper(hole) - lower(hole)) from (
            select unnest(range_agg(tstzrange(g.from_ts, g.to_ts) * tstzrange(d.from_ts, d.to_ts))) as hole
            from feed_gaps g
            where g.exchange = d.exchange and g.symbol in (d.symbol, '*')
                and split_part(g.channel, ':', 1) in (d.channel, '*') and g.state <> 'filled'
                and g.from_ts < d.to_ts and coalesce(g.to_ts, 'infinity') > greatest(d.from_ts, g.from_ts)
        ) holes
    )), 0) / extract(epoch from to_ts - from_ts), 6) end as completeness
from days d;
