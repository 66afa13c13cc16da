"""When a site's turn may come: its windows, its holds and freezes, and what an upgrade of it needs (P6, P8).

Pure. Only the start counts: an upgrade that runs when its window closes, or when a freeze begins, finishes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from instances.pauses import Pause
from instances.windows import Span, Window, union

MOMENT = timedelta(microseconds=1)
FOR_EVER = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Turn:
    """`opens_at` is the first moment at which the site may begin; None where there is none. `window_opens_at` is since
    when its window is open then: a hold or a freeze may have taken the time between.

    `latest` is until when it may still begin. `fits` is whether a window that opens is long enough, `opens` whether
    any opens. `paused_by` are the holds and freezes that take every moment away that the windows would give.
    """

    opens_at: datetime | None
    window_opens_at: datetime | None = None
    latest: datetime | None = None
    room: timedelta | None = None
    opens: bool = True
    fits: bool = True
    paused_by: tuple[Pause, ...] = ()


def turn_of(
    windows: Sequence[Window], pauses: Sequence[Pause], needs: timedelta, at: datetime, until: datetime | None
) -> Turn:
    """The site's turn in the night from `at` up to `until`; None for `until`: only the moment `at` counts.

    Without windows a site is open at any time.
    """
    night = Span(at, until or at + MOMENT)
    openings = _openings(tuple(windows), night)
    starts = [start for opening in openings if (start := _starts(opening, night, needs))]
    free = [rest for start in starts for rest in _without(start, pauses)]
    if free:
        window = next(start for start in starts if start.covers(free[0].starts_at))
        return Turn(free[0].starts_at, window.starts_at, free[-1].ends_at, _room(openings, free[0].starts_at))
    closing = pauses if starts else [pause for pause in pauses if pause.span.covers(at)]
    concerned = starts or [night]
    return Turn(
        None,
        opens=bool(openings) or not windows,
        fits=bool(starts),
        paused_by=tuple(pause for pause in closing if any(_overlap(pause.span, start) for start in concerned)),
    )


@lru_cache(maxsize=4096)
def _openings(windows: tuple[Window, ...], night: Span) -> list[Span]:
    """When it is open, as disjoint spans; without windows for ever. Kept, since most sites share theirs."""
    if not windows:
        return [Span(night.starts_at, FOR_EVER)]
    return union([span for one in windows for span in one.openings(night.starts_at, night.ends_at)])


def _starts(opening: Span, night: Span, needs: timedelta) -> Span | None:
    """The moments of the night at which an upgrade may begin so that it fits the opening."""
    first = max(opening.starts_at, night.starts_at)
    end = min(opening.ends_at - needs + MOMENT, opening.ends_at, night.ends_at)
    return Span(first, end) if first < end else None


def _without(span: Span, pauses: Iterable[Pause]) -> list[Span]:
    """What the pauses leave of a span, in order."""
    left, first = [], span.starts_at
    for pause in union([pause.span for pause in pauses if _overlap(pause.span, span)]):
        if pause.starts_at > first:
            left.append(Span(first, pause.starts_at))
        first = max(first, pause.ends_at)
    if first < span.ends_at:
        left.append(Span(first, span.ends_at))
    return left


def _overlap(one: Span, other: Span) -> bool:
    return one.starts_at < other.ends_at and other.starts_at < one.ends_at


def _room(openings: Sequence[Span], start: datetime) -> timedelta:
    return next(opening.ends_at - start for opening in openings if opening.covers(start))


def next_turn(
    windows: Sequence[Window], pauses: Sequence[Pause], needs: timedelta, nights: Iterable[Span]
) -> datetime | None:
    """The first moment in these nights at which it may begin; None where none of them has one."""
    turns = (turn_of(windows, pauses, needs, night.starts_at, night.ends_at).opens_at for night in nights)
    return next((moment for moment in turns if moment), None)
