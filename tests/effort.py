"""How hard the tests try that draw their cases: little by default, more where somebody has the time."""

import os

EFFORT = int(os.environ.get("RELEASEMGR_TEST_EFFORT", "1"))
"""Set it to 20 for a long run over a weekend."""


def examples(number: int) -> int:
    """So many by default."""
    return number * EFFORT
