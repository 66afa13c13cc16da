-- apply
CREATE TABLE invoice_line (id INTEGER PRIMARY KEY, invoice INTEGER NOT NULL, text TEXT NOT NULL, amount_cents INTEGER NOT NULL);
-- undo
DROP TABLE invoice_line;
