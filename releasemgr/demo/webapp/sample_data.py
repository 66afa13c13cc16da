"""Fills a new site with invoices and shifts: `python3 sample_data.py`, with SITE_PATH set."""

import os
import sqlite3

LINES = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2400)
INSERT INTO invoice_line (invoice, text, amount_cents)
SELECT 1 + i / 6, 'Shift of ' || (4 + i % 6) || ' hours', 1900 + i * 37 % 9000 FROM n
"""
SHIFTS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 139)
INSERT INTO shift (person, weekday, starts, ends)
SELECT 'person ' || (1 + i % 28), i % 5,
  printf('%02d:00', 6 + i % 3 * 8), printf('%02d:00', (14 + i % 3 * 8) % 24)
FROM n
"""


def main() -> None:
    with sqlite3.connect(os.path.join(os.environ["SITE_PATH"], "shared", "data.sqlite3")) as connection:
        connection.execute(LINES)
        connection.execute(SHIFTS)


if __name__ == "__main__":
    main()
