-- apply
CREATE TABLE shift (id INTEGER PRIMARY KEY, person TEXT NOT NULL, weekday INTEGER NOT NULL, starts TEXT NOT NULL, ends TEXT NOT NULL);
-- undo
DROP TABLE shift;
