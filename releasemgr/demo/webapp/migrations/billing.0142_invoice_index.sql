-- apply
CREATE INDEX invoice_line_invoice ON invoice_line (invoice);
-- undo
DROP INDEX invoice_line_invoice;
