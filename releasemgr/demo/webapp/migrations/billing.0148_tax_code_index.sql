-- apply
CREATE INDEX invoice_line_tax ON invoice_line (tax_code);
-- undo
DROP INDEX invoice_line_tax;
