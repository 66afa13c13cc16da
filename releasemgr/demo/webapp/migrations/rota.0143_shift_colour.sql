-- apply
ALTER TABLE shift ADD COLUMN colour TEXT NOT NULL DEFAULT '';
-- undo
ALTER TABLE shift DROP COLUMN colour;
