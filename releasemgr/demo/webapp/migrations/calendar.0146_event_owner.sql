-- apply
ALTER TABLE event ADD COLUMN owner INTEGER;
-- undo
ALTER TABLE event DROP COLUMN owner;
