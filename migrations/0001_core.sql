-- The tables of marketd. Base tables stand in schema md, narrow and keyed by instrument; the names that programs query
-- are views in public with the columns exchange, symbol, ts and the event's own fields. The same SQL runs on plain
-- PostgreSQL 15 and newer and on TimescaleDB.

create schema if not exists md;

create table md.instruments (
    instrument_id int4 generated always as identity primary key,
    exchange text not null,
    symbol text not null,
    native text,
    base text,
    quote text,
    kind text,
    active boolean,
    tick_size numeric,
    lot_size numeric,
    min_amount numeric,
    min_notional numeric,
    updated_at timestamptz not null default now(),
    unique (exchange, symbol)
);

-- Time in integer nanoseconds since the epoch, as events carry it, to timestamptz (microseconds), exactly.
create function md.at(ns int8) returns timestamptz language sql immutable parallel safe
    return timestamptz 'epoch' + (ns / 1000) * interval '1 microsecond';

-- No foreign keys on the event tables on purpose: they cost half as much again per row. The primary keys make the same
-- event land once. Where an event has no id of its own, the receive time, strictly rising per exchange, is its identity.

create table md.trades (
    instrument_id int4 not null,
    ts timestamptz not null,
    id text not null,
    price numeric not null,
    amount numeric not null,
    side text not null,
    recv_ns int8 not null,
    source text not null,
    primary key (instrument_id, ts, id)
);

create table md.tickers (
    instrument_id int4 not null,
    ts timestamptz not null,
    recv_ns int8 not null,
    bid numeric, bid_size numeric, ask numeric, ask_size numeric,
    last numeric, open numeric, high numeric, low numeric, volume numeric, quote_volume numeric,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);
-- latest_prices looks for the newest last price, which most tickers (best bid and ask) do not have.
create index tickers_last on md.tickers (instrument_id, ts) where last is not null;

-- bids and asks are {{price,amount},…}, best first in a snapshot; amount 0 in a delta removes the level
create table md.book_snapshots (
    instrument_id int4 not null,
    ts timestamptz not null,
    recv_ns int8 not null,
    first_id int8, last_id int8, prev_id int8, checksum int8,
    bids numeric[] not null,
    asks numeric[] not null,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);

create table md.book_deltas (
    instrument_id int4 not null,
    ts timestamptz not null,
    recv_ns int8 not null,
    first_id int8, last_id int8, prev_id int8, checksum int8,
    bids numeric[] not null,
    asks numeric[] not null,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);

create table md.candles (
    instrument_id int4 not null,
    timeframe text not null,
    open_ts timestamptz not null,
    ts timestamptz not null,
    open numeric not null, high numeric not null, low numeric not null, close numeric not null,
    volume numeric not null,
    trades int8,
    closed boolean not null,
    recv_ns int8 not null,
    source text not null,
    primary key (instrument_id, timeframe, open_ts)
);

create table md.funding_rates (
    instrument_id int4 not null,
    ts timestamptz not null,
    rate numeric not null,
    next_ts timestamptz,
    recv_ns int8 not null,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);

create table md.mark_prices (
    instrument_id int4 not null,
    ts timestamptz not null,
    recv_ns int8 not null,
    mark numeric not null,
    index numeric,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);

create table md.open_interest (
    instrument_id int4 not null,
    ts timestamptz not null,
    recv_ns int8 not null,
    amount numeric not null,
    value numeric,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);

create table md.liquidations (
    instrument_id int4 not null,
    ts timestamptz not null,
    recv_ns int8 not null,
    id text,
    side text not null,
    price numeric not null,
    amount numeric not null,
    source text not null,
    primary key (instrument_id, ts, recv_ns)
);

-- What happened to the system.

create table feed_gaps (
    id text primary key,
    exchange text not null,
    symbol text not null,
    channel text not null,
    from_ts timestamptz, to_ts timestamptz,
    from_id text, to_id text,
    state text not null,
    reason text not null,
    ts timestamptz not null,
    detected_at timestamptz not null
);
create index on feed_gaps (exchange, symbol, channel, from_ts);

create table quality_flags (
    exchange text not null,
    symbol text not null,
    channel text not null,
    ts timestamptz not null,
    rule text not null,
    severity text not null,
    event_ref text not null,
    detail text not null,
    primary key (exchange, symbol, channel, ts, rule, event_ref)
);

create table feed_events (
    exchange text not null,
    symbol text not null,
    channel text not null,
    ts timestamptz not null,
    state text not null,
    reason text not null,
    primary key (exchange, symbol, channel, ts, state)
);

create table breaker_events (
    exchange text not null,
    kind text not null,
    ts timestamptz not null,
    state text not null,
    until timestamptz,
    reason text not null,
    primary key (exchange, kind, ts, state)
);

create table tasks (
    id text primary key,
    kind text not null,
    state text not null,
    done int8 not null,
    total int8,
    ts timestamptz not null
);

create table dead_letters (
    id text primary key,
    ts timestamptz not null,
    origin text not null,
    handler text not null,
    reason text not null,
    payload bytea not null
);

create table command_log (
    id text not null,
    ts timestamptz not null,
    client text not null,
    command text not null,
    args jsonb not null,
    status text not null,
    result jsonb,
    error jsonb,
    finished_at timestamptz,
    primary key (id, ts)
);

create table config_versions (
    version int8 generated always as identity primary key,
    ts timestamptz not null default now(),
    client text not null,
    config jsonb not null,
    comment text not null default ''
);

-- How far each stream is stored, moved in the transaction that stores the rows.
create table stream_offsets (
    stream text primary key,
    entry text not null,
    seq int8 not null,
    updated_at timestamptz not null
);
