"""Windows as people write them: “Mon-Fri 01:00-04:00 Europe/Dublin; Sat,Sun 22:00-06:00 Europe/Dublin”."""

import re
from collections.abc import Iterable
from datetime import time

from instances.windows import Window, zone_named

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EVERY_DAY = {"daily", "every day"}
EXAMPLE = "Mon-Fri 01:00-04:00 Europe/Dublin"
SHAPE = re.compile(
    r"(?P<days>\D*?)\s*\b(?P<start>\d{1,2}:\d{2})\s*[-–]\s*(?P<end>\d{1,2}:\d{2})(?:\s+(?P<zone>\S+))?"
)  # fmt: skip


class WindowsInvalid(ValueError):
    """`errors` has a sentence for each window that cannot be read or may not be."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(" ".join(errors))
        self.errors = errors


def parse_windows(text: str) -> tuple[Window, ...]:
    """What stands between semicolons, each once. Empty for an empty text. Raises WindowsInvalid."""
    windows: list[Window] = []
    errors = []
    for part in filter(None, (piece.strip() for piece in re.split(r"[;\n]", text))):
        try:
            windows.append(_window(part))
        except ValueError as fault:
            errors.append(f"“{part}”: {fault}")
    if errors:
        raise WindowsInvalid(errors)
    return tuple(dict.fromkeys(windows))


def format_windows(windows: Iterable[Window]) -> str:
    """What parse_windows reads back as the same windows."""
    return "; ".join(format_window(window) for window in windows)


def format_window(window: Window) -> str:
    return f"{format_days(window.weekdays)} {window.start:%H:%M}-{window.end:%H:%M} {window.zone.key}"


def format_days(weekdays: frozenset[int]) -> str:
    """“Mon-Fri”, “Mon,Wed”, “Sat,Sun”: three days or more in a row as a range."""
    runs: list[list[int]] = []
    for day in sorted(weekdays):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(_run(run) for run in runs)


def _run(run: list[int]) -> str:
    names = [WEEKDAYS[day] for day in run]
    return f"{names[0]}-{names[-1]}" if len(run) > 2 else ",".join(names)


def _window(part: str) -> Window:
    shape = SHAPE.fullmatch(part)
    if shape is None:
        raise ValueError(f"this is not a window. It looks like {EXAMPLE}.")
    window = Window(
        _days(shape["days"]), _clock(shape["start"]), _clock(shape["end"]), zone_named(shape["zone"] or "")
    )  # fmt: skip
    if window.fault:
        raise ValueError(window.fault)
    return window


def _days(text: str) -> frozenset[int]:
    if text.strip().lower() in EVERY_DAY:
        return frozenset(range(7))
    days: set[int] = set()
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        first, dash, last = (end.strip() for end in piece.replace("–", "-").partition("-"))
        begin, end = _day(first), _day(last if dash else first)
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(name: str) -> int:
    """A weekday by its name or the first letters of it, three at least."""
    found = [number for number, full in enumerate(FULL) if len(name) >= 3 and full.startswith(name.lower())]
    if not found:
        raise ValueError(f"“{name}” is not a weekday. They are {', '.join(WEEKDAYS)}.")
    return found[0]


def _clock(text: str) -> time:
    """24:00 is the midnight at the end of the day."""
    hour, minute = map(int, text.split(":"))
    if (hour, minute) == (24, 0):
        return time(0)
    try:
        return time(hour, minute)
    except ValueError as error:
        raise ValueError(f"“{text}” is not a time of the day.") from error
