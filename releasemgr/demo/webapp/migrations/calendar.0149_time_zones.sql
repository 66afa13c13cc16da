-- apply
ALTER TABLE event ADD COLUMN zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE shift ADD COLUMN zone TEXT;
-- backfill pause 0.4 s
UPDATE shift SET zone = 'UTC' WHERE id IN (SELECT id FROM shift WHERE zone IS NULL LIMIT 50)
-- undo
ALTER TABLE shift DROP COLUMN zone;
ALTER TABLE event DROP COLUMN zone;
