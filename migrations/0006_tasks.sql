-- What a background task needs beside its state: what it was asked for, how fast it goes, what came of it.
-- The process that runs a task writes its row, and says it is its own by an advisory lock.

alter table tasks
    add column args jsonb not null default '{}',
    add column rate float8,
    add column seconds_left float8,
    add column result jsonb,
    add column error text not null default '',
    add column cancel boolean not null default false,
    add column created_at timestamptz not null default now();

-- The same work is not begun twice.
create unique index tasks_unfinished on tasks (kind, md5(args::text)) where state in ('queued', 'running');

-- What an exchange had to say of a part of a feed's history when it was asked: `rows` stood here afterwards. A part of
-- which so many rows still stand need not be asked for again, also where the exchange itself has holes.
create table md.history_slices (
    instrument_id int4 not null,
    channel text not null,
    timeframe text not null,
    from_ts timestamptz not null,
    to_ts timestamptz not null,
    rows int8 not null,
    primary key (instrument_id, channel, timeframe, from_ts, to_ts)
);
