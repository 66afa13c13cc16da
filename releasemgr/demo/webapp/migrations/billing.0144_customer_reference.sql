-- apply
ALTER TABLE invoice_line ADD COLUMN reference TEXT;
-- backfill pause 0.2 s
UPDATE invoice_line SET reference = printf('R-%06d', invoice)
WHERE id IN (SELECT id FROM invoice_line WHERE reference IS NULL LIMIT 600)
-- undo
ALTER TABLE invoice_line DROP COLUMN reference;
