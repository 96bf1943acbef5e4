-- Paper trading. The tables of what was ordered, filled and owned change in the transaction that journals what caused
-- it; paper_journal and paper_snapshot are how the engine comes back exactly as it was.

create table paper_portfolios (
    portfolio text primary key,
    ts timestamptz not null,
    state text not null,
    mode text not null default 'paper',
    currency text not null,
    initial jsonb not null,
    halted text,
    statistics jsonb
);

-- ts: when the order was first told of; updated_at: when it changed last. Quantities and prices that were refused as no
-- numbers are null.
create table paper_orders (
    portfolio text not null,
    id text not null,
    exchange text not null,
    symbol text not null,
    ts timestamptz not null,
    updated_at timestamptz not null,
    side text not null,
    order_type text not null,
    status text not null,
    quantity numeric,
    filled numeric,
    price numeric,
    stop_price numeric,
    reason text not null,
    message text not null,
    primary key (portfolio, id)
);
create index paper_orders_ts on paper_orders (portfolio, ts);

-- seq numbers everything that paper trading tells, so that a fill that comes again is the same row
create table paper_fills (
    seq int8 primary key,
    portfolio text not null,
    id text not null,
    order_id text not null,
    exchange text not null,
    symbol text not null,
    ts timestamptz not null,
    side text not null,
    price numeric not null,
    quantity numeric not null,
    fee numeric not null,
    fee_currency text not null,
    liquidity text not null
);
create index paper_fills_ts on paper_fills (portfolio, ts);

create table paper_positions (
    portfolio text not null,
    exchange text not null,
    symbol text not null,
    ts timestamptz not null,
    quantity numeric not null,
    average_price numeric,
    realized numeric not null,
    fees numeric not null,
    primary key (portfolio, exchange, symbol)
);

create table paper_balances (
    portfolio text not null,
    asset text not null,
    ts timestamptz not null,
    total numeric not null,
    locked numeric not null,
    primary key (portfolio, asset)
);

create table paper_equity (
    portfolio text not null,
    ts timestamptz not null,
    seq int8 not null,
    equity numeric not null,
    initial numeric not null,
    realized numeric not null,
    unrealized numeric not null,
    fees numeric not null,
    primary key (portfolio, ts, seq)
);

-- What went into the engine and what came out of it, batch by batch, since the last snapshot; last_seq is the number of
-- the last output so far.
create table paper_journal (
    batch int8 primary key,
    inputs bytea not null,
    outputs bytea not null,
    last_seq int8 not null
);
alter table paper_journal alter column inputs set storage external, alter column outputs set storage external;

-- One row: who runs the engine (epoch), its last batch, up to which output everything stands on the stream, and its
-- whole state after the batch `snapshot_batch`.
create table paper_snapshot (
    id int4 primary key default 1 check (id = 1),
    epoch int8 not null default 0,
    batch int8 not null default 0,
    published int8 not null default 0,
    snapshot_batch int8 not null default 0,
    state bytea
);
alter table paper_snapshot alter column state set storage external;
insert into paper_snapshot default values;
