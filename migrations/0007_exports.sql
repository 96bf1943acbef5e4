-- What has been copied to files: for each feed and UTC day how many rows, and a digest of them that does not depend on
-- their order. Retention compares it with what stands in the database before it deletes.

create table md.exports (
    table_name text not null,
    instrument_id int4 not null,
    timeframe text not null,
    day date not null,
    rows int8 not null,
    digest text not null,
    file text not null,
    exported_at timestamptz not null,
    primary key (table_name, instrument_id, timeframe, day)
);
