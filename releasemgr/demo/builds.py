"""The builds of the demo as data: versions, ages, smoke tests, changelogs and what each contains."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DemoBuild:
    version: str
    age_days: int  # how long before the demo's present day it was built
    last_migration: int
    changelog: str  # Markdown
    smoke: Literal["passed", "failed"] = "passed"
    without: frozenset[str] = frozenset()  # files of the web application that this build no longer has


NO_LEGACY = frozenset({"plugins/legacy_reports.py"})

BUILDS = (
    DemoBuild(
        "4.18.8",
        146,
        140,
        """\
- Invoices with more than 999 lines print on the right paper size.
- The rota remembers the week that was last open.
""",
    ),
    DemoBuild(
        "4.18.9",
        132,
        140,
        """\
- **Security:** a session now ends on every device when the password changes.
- Shifts that cross midnight count towards the day on which they begin.
""",
    ),
    DemoBuild(
        "4.19.3",
        82,
        141,
        """\
- New: a calendar with all-day events beside the rota (`calendar.0141_events`).
- Known: all-day events appear one day early west of Greenwich.
""",
    ),
    DemoBuild(
        "4.19.4",
        73,
        141,
        """\
- All-day events appear on the right day in every time zone.
- The spreadsheet export opens without a question about its encoding.
""",
    ),
    DemoBuild(
        "4.19.5",
        63,
        142,
        """\
- The list of invoices opens in 0.2 s instead of 3 s on large sites (`billing.0142_invoice_index`).
- Postal addresses in Ireland keep their Eircode.
""",
    ),
    DemoBuild(
        "4.19.6",
        46,
        142,
        """\
- Rounding of amounts in currencies without cents.
- The page of a shift no longer loses its filter after saving.
""",
    ),
    DemoBuild(
        "4.20.0",
        31,
        144,
        """\
- New: colours for shifts (`rota.0143_shift_colour`).
- New: a reference on every invoice line. **The migration `billing.0144_customer_reference` writes every line
  once**, in pieces, while the site stays up.
""",
    ),
    DemoBuild(
        "4.20.1",
        24,
        144,
        """\
- Colours are kept when a week is copied.
- References are printed on reminders, too.
""",
    ),
    DemoBuild(
        "4.20.2",
        17,
        145,
        """\
- The rota of one person opens at once (`rota.0145_shift_person_index`).
- Names of people may be longer than 60 characters.
""",
    ),
    DemoBuild(
        "4.20.3",
        10,
        146,
        """\
- New: events have an owner (`calendar.0146_event_owner`).
- Known: reminders are sent twice when two people own one event.
""",
    ),
    DemoBuild(
        "4.20.4",
        5,
        148,
        """\
- Reminders are sent once, whoever owns the event.
- New: a tax code on invoice lines. **The migration `billing.0147_invoice_line_tax` writes every line once.**
- Removed: the plugin `legacy_reports`. Use `csv_export` instead, and take the old name out of `settings.ini`.
""",
        without=NO_LEGACY,
    ),
    DemoBuild(
        "4.21.0",
        4,
        149,
        """\
- New: a time zone for every event and shift (`calendar.0149_time_zones`).
- The calendar prints on one page.
""",
        without=NO_LEGACY,
    ),
    DemoBuild(
        "4.21.1",
        1,
        149,
        """\
- The search finds people by their first name.
- The calendar's print view includes owners.
""",
        smoke="failed",
        without=NO_LEGACY,
    ),
)
