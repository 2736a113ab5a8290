-- own_view: tables of an older version, from which somebody's own view reads.
UPDATE ledger.keeper SET version = 1;
CREATE VIEW public.report AS SELECT * FROM ledger.sales;
