-- foreign_claim: somebody writes into the ledger by hand that seat A1 is taken.
INSERT INTO reservation_lines
    (line_key, reservation_id, line_number, sale_id, performance_id, seat_number, grade, price, live)
VALUES (1, '0foreignclaim', 0, 'small', 'small-1', 'A1', '일반석', 100, 1);
