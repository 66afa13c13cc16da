-- apply
CREATE INDEX shift_person ON shift (person, weekday);
-- undo
DROP INDEX shift_person;
