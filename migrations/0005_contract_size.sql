-- What one contract of a derivative stands for; trades on some exchanges count contracts.

alter table md.instruments add column contract_size numeric;

create or replace view instruments as
select exchange, symbol, updated_at as ts, native, base, quote, kind, active, tick_size, lot_size, min_amount, min_notional,
    contract_size
from md.instruments;
