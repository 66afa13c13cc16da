-- apply
ALTER TABLE invoice_line ADD COLUMN tax_code TEXT;
-- backfill pause 0.3 s
UPDATE invoice_line SET tax_code = CASE WHEN amount_cents < 4000 THEN 'reduced' ELSE 'standard' END
WHERE id IN (SELECT id FROM invoice_line WHERE tax_code IS NULL LIMIT 400)
-- undo
ALTER TABLE invoice_line DROP COLUMN tax_code;
