-- wrong_states: somebody writes into the ledger by hand what nobody paid, and that all has expired.
UPDATE payments
SET amount = amount + 1;

UPDATE reservations
SET state = 'expired';
