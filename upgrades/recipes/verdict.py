"""How an upgrade ended, judged from what its runner wrote (U2, U5, U10)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from upgrades.recipes.journal import (
    AFTER,
    BEFORE,
    Event,
    StepEnded,
    StepStarted,
    Stopped,
    UpgradeBegun,
    VersionMissing,
    VersionRead,
    WayBackBegun,
)
from upgrades.recipes.recipe import Phase


class Ending(StrEnum):
    SUCCEEDED = "succeeded"
    ALREADY_THERE = "already_there"
    BLOCKED = "blocked"
    FAILED_CLEAN = "failed_clean"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    NEEDS_A_PERSON = "needs_a_person"


class Detail(StrEnum):
    """Why it ended so; worded elsewhere."""

    NOTHING = "nothing"
    STEP_FAILED = "step_failed"
    STEP_TIMED_OUT = "step_timed_out"
    OTHER_VERSION = "other_version"
    """Every step passed, but the site does not report the new version."""
    WAY_BACK_FAILED = "way_back_failed"
    OLD_VERSION_NOT_BACK = "old_version_not_back"
    STOPPED = "stopped"
    """It was asked to stop before its point of no return, and nothing is wrong with the site (R9)."""
    CANCELLED = "cancelled"
    """A person cancelled it, what ran is gone, and nothing is wrong with the site (U4)."""
    LINGERS = "lingers"
    """A person cancelled it, and what ran could not be ended."""
    SENT_BACK = "sent_back"
    """A person had the way back run again, and it worked."""
    RUNNER_GONE = "runner_gone"
    RESULT_UNREADABLE = "result_unreadable"


@dataclass(frozen=True)
class Verdict:
    ending: Ending
    failed_step: str | None
    """Also of a success, when a finishing step failed; of a failed way back, the step that began it; of what was
    stopped, the step before which it was."""
    phase: Phase | None
    version_before: str | None
    """As the site told it; None when it did not."""
    version_after: str | None
    """As the site told it last; None when it did not, or was not asked again."""
    detail: Detail


@dataclass(frozen=True)
class Remains:
    """What is known of an upgrade whose runner is gone without a result."""

    planned_from: str
    reported: str | None
    """What the site says now; None when it does not."""
    whole: bool = True
    """Whether all that the runner wrote was heard."""


def judge(events: Iterable[Event], result: str | Remains) -> Verdict:
    """`result` is the text that the runner left, or what remains of it without one."""
    return _Story(list(events)).verdict(result)


def same_version(one: str | None, other: str | None) -> bool:
    """As the host compares: without blanks, a leading v and trailing .0 groups. None equals nothing."""
    return bool(one and other) and _normal(one or "") == _normal(other or "")


def _normal(version: str) -> str:
    bare = re.sub(r"\s", "", version)
    bare = bare[1:] if bare[:1] in ("v", "V") else bare
    while bare.endswith(".0"):
        bare = bare[:-2]
    return bare


class _Story:
    def __init__(self, events: Sequence[Event]) -> None:
        self.ended = [event for event in events if isinstance(event, StepEnded)]
        self.started = [event for event in events if isinstance(event, StepStarted)]
        begins = [place for place, event in enumerate(events) if isinstance(event, WayBackBegun)]
        after = events[begins[-1] :] if begins else events
        self.last_way_back = [event for event in after if isinstance(event, StepEnded)]
        self.stopped = next((event for event in events if isinstance(event, Stopped)), None)
        self.begun = next((event for event in events if isinstance(event, UpgradeBegun)), None)
        self.version_before = _version(events, BEFORE)
        self.version_after = _version(events, AFTER)

    def verdict(self, result: str | Remains) -> Verdict:
        if isinstance(result, Remains):
            return self._gone(result)
        match result.split():
            case ["already-there"] if self._is_new(self.version_before):
                return self._ends(Ending.ALREADY_THERE, Detail.NOTHING)
            case ["completed"]:
                return self._completed()
            case ["failed", phase, _] if phase in (Phase.CHECK, Phase.PREPARE, Phase.CHANGE, Phase.VERIFY):
                return self._failed(Phase(phase))
            case ["went-back"]:
                return self._went_back()
            case ["stopped" | "cancelled", _, _] if self.stopped:
                return self._stopped(self.stopped)
            case ["lingers", _, _] if self.stopped:
                return self._ends(Ending.NEEDS_A_PERSON, Detail.LINGERS, self.stopped)
            case _:
                return self._ends(Ending.NEEDS_A_PERSON, Detail.RESULT_UNREADABLE)

    def _stopped(self, at: Stopped) -> Verdict:
        """Where nothing had been touched, the site was not asked again: there is no way back."""
        clean, why = Ending.FAILED_CLEAN, Detail.STOPPED
        if at.cancelled:
            clean, why = Ending.CANCELLED, Detail.CANCELLED
        begun = {event.phase for event in self.started}
        if not begun & {Phase.PREPARE, Phase.CHANGE, Phase.VERIFY}:
            return self._ends(clean, why, at)
        if trouble := self._not_back():
            return self._ends(Ending.NEEDS_A_PERSON, trouble, self.started[-1])
        return self._ends(Ending.ROLLED_BACK if Phase.CHANGE in begun else clean, why, at)

    def _went_back(self) -> Verdict:
        at = self._failure() or (self.started[-1] if self.started else None)
        if trouble := self._not_back():
            return self._ends(Ending.NEEDS_A_PERSON, trouble, at)
        return self._ends(Ending.ROLLED_BACK, Detail.SENT_BACK, at)

    def _gone(self, remains: Remains) -> Verdict:
        """Clean only where nothing can have been changed, and the site says so too."""
        changed = any(event.phase is Phase.CHANGE for event in self.started)
        stayed = same_version(remains.reported, self.version_before or remains.planned_from)
        clean = remains.whole and not changed and stayed
        ending = Ending.FAILED_CLEAN if clean else Ending.NEEDS_A_PERSON
        last = self.started[-1] if self.started else None
        return self._ends(ending, Detail.RUNNER_GONE, last)

    def _completed(self) -> Verdict:
        if not self._is_new(self.version_after):
            return self._ends(Ending.NEEDS_A_PERSON, Detail.OTHER_VERSION)
        return self._ends(Ending.SUCCEEDED, self._why(), self._failure())

    def _failed(self, phase: Phase) -> Verdict:
        if phase is Phase.CHECK:
            return self._ends(Ending.BLOCKED, self._why(), self._failure())
        if trouble := self._not_back():
            return self._ends(Ending.NEEDS_A_PERSON, trouble, self._failure())
        ending = Ending.FAILED_CLEAN if phase is Phase.PREPARE else Ending.ROLLED_BACK
        return self._ends(ending, self._why() if self._failure() else Detail.OTHER_VERSION, self._failure())

    def _not_back(self) -> Detail | None:
        """Why a person is needed after the way back; None where what runs is what ran before (U5)."""
        if any(event.phase is Phase.BACK and event.status for event in self.last_way_back):
            return Detail.WAY_BACK_FAILED
        return None if same_version(self.version_after, self.version_before) else Detail.OLD_VERSION_NOT_BACK

    def _failure(self) -> StepEnded | None:
        return next((event for event in self.ended if event.status and event.phase is not Phase.BACK), None)

    def _why(self) -> Detail:
        failure = self._failure()
        if failure is None:
            return Detail.NOTHING
        return Detail.STEP_TIMED_OUT if failure.timed_out else Detail.STEP_FAILED

    def _is_new(self, version: str | None) -> bool:
        return self.begun is not None and (
            same_version(version, self.begun.to_version) or same_version(version, self.begun.canonical)
        )

    def _ends(self, ending: Ending, detail: Detail, at: StepStarted | StepEnded | Stopped | None = None) -> Verdict:
        return Verdict(
            ending=ending,
            failed_step=at.step if at else None,
            phase=at.phase if at else None,
            version_before=self.version_before,
            version_after=self.version_after,
            detail=detail,
        )


def _version(events: Sequence[Event], moment: str) -> str | None:
    told = [event for event in events if isinstance(event, VersionRead | VersionMissing) and event.moment == moment]
    last = told[-1] if told else None
    return last.raw if isinstance(last, VersionRead) else None
