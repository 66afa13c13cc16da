from datetime import UTC, date, datetime

import pytest

from releasemgr.demo.month import last_night


@pytest.mark.parametrize(
    ("now", "night"),
    [
        (datetime(2026, 11, 23, 12, 0, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 11, 23, 5, 0, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 11, 23, 4, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 23, 0, 30, tzinfo=UTC), date(2026, 11, 22)),
    ],
)
def test_the_last_night_is_over_by_now(now: datetime, night: date) -> None:
    """Else what the demo really does in a minute would end in the future."""
    assert last_night(now).date == night
