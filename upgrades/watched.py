"""One upgrade as its supervisor sees it: what the host tells becomes rows (U3).

Everything here runs inside the supervisor's transaction, after its lease was checked. After a failed transaction
the object is thrown away and read anew, so that memory never runs ahead of the rows.
"""

from collections.abc import Sequence
from datetime import datetime

from instances.services import note_version
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.exceptions import RecipeInvalid, SecretUnusable
from upgrades.first_error import failure_fingerprint, first_error
from upgrades.log_masks import NONE, MaskedStream, Secrets
from upgrades.models import WAY_BACK_PLACE, Step, Upgrade
from upgrades.recipes.journal import Event, Journal, StepEnded, StepStarted, VersionRead, WayBackBegun
from upgrades.recipes.recipe import Phase, Recipe
from upgrades.recipes.verdict import Detail, Ending, Remains, Verdict, judge
from upgrades.sentences import stop_reason
from upgrades.services.blocks import plain
from upgrades.services.cancels import cancel_words
from upgrades.services.logs import kept_log, lines_before, read_log, write_log

NOBODY_FAILED = (Detail.STOPPED, Detail.CANCELLED)
SEARCHED = 1024 * 1024  # bytes of a failed step's log, from its end, in which its error is looked for


class Watched:
    """`arrives_from` is the byte of its log that comes first, at or before the end of what is kept."""

    def __init__(
        self, upgrade: Upgrade, recipe: Recipe, secrets: Secrets = NONE, arrives_from: int | None = None
    ) -> None:  # fmt: skip
        self.upgrade, self.recipe, self.secrets = upgrade, recipe, secrets
        self._log = kept_log(upgrade)
        self._arrived = self.log_size if arrives_from is None else arrives_from
        self._stream = MaskedStream(secrets, self.log_size - self._arrived)
        self._journal = Journal()
        self._events: list[Event] = self._journal.feed(bytes(upgrade.journal))
        self._steps = {step.position: step for step in upgrade.steps.all()}

    @property
    def number(self) -> int:
        return self.upgrade.pk

    def prepare_steps(self) -> None:
        """Writes the steps to come, so that the page can show what is not started yet."""
        if not self._steps:
            steps = [
                Step(upgrade=self.upgrade, position=place, name=step.name, title=step.title, phase=step.phase)
                for place, step in enumerate(self.recipe.steps, 1)
            ]
            self._steps = {step.position: step for step in Step.objects.bulk_create(steps)}

    def said(self, error: Exception) -> str:
        """What an error says, as the database can keep it: what a host printed may hold a secret (U8)."""
        text = plain(error)
        return text if isinstance(error, SecretUnusable | RecipeInvalid) else self.secrets.hide_text(text)

    def begun(self, now: datetime) -> None:
        if self.upgrade.state == UpgradeState.STARTING:
            self.upgrade.move(UpgradeState.RUNNING, now=now)

    # Log and journal.

    @property
    def log_size(self) -> int:
        """Bytes of its log that were taken in, whether they are kept or left out."""
        return self._log.size

    def keep_log(self, pieces: Sequence[tuple[int, bytes]], now: datetime) -> None:
        """Appends what follows on what has arrived; drops what had already (U3). Secrets are hidden first (U8)."""
        data = []
        for offset, piece in pieces:
            if 0 <= self._arrived - offset < len(piece):
                data.append(piece[self._arrived - offset :])
                self._arrived = offset + len(piece)
        self._append(self._stream.feed(b"".join(data)), now)

    def _append(self, data: bytes, now: datetime) -> None:
        if data:
            write_log(self.upgrade, self._log.add(data), now)

    def keep_events(self, offset: int, data: bytes, now: datetime) -> None:
        known = len(self.upgrade.journal) - offset
        if not 0 <= known < len(data):
            return
        told = self.secrets.hide_in_events(data)[known:]
        self.upgrade.journal = bytes(self.upgrade.journal) + told
        self.upgrade.save(update_fields=["journal"])
        for event in self._journal.feed(told):
            self._events.append(event)
            self._take(event, now)

    def _take(self, event: Event, now: datetime) -> None:
        if isinstance(event, StepStarted):
            self._step_started(event)
        elif isinstance(event, StepEnded):
            self._step_ended(event)
        elif isinstance(event, WayBackBegun) and self.upgrade.state == UpgradeState.RUNNING:
            self.upgrade.move(UpgradeState.ROLLING_BACK, now=now)
        elif isinstance(event, VersionRead):
            note_version(self.upgrade.instance, event.raw, now=now)

    def _step_started(self, event: StepStarted) -> None:
        place = _place(event)
        self._log.begin_step(event.log_offset)
        self._steps[place], _created = Step.objects.update_or_create(
            upgrade=self.upgrade,
            position=place,
            defaults={
                "name": event.step,
                "title": self._title(event.step),
                "phase": event.phase,
                "state": StepState.RUNNING,
                "started_at": event.at,
                "log_start": event.log_offset,
                "exit_status": None,
                "ended_at": None,
                "log_end": None,
            },
        )

    def _title(self, name: str) -> str:
        steps = (*self.recipe.steps, *self.recipe.way_back)
        return next((step.title for step in steps if step.name == name), name)

    def _step_ended(self, event: StepEnded) -> None:
        step = self._steps.get(_place(event))
        if step is None:
            return
        failed = StepState.WARNED if event.phase is Phase.FINISH else StepState.FAILED
        step.state = failed if event.status else StepState.SUCCEEDED
        step.exit_status, step.ended_at, step.log_end = event.status, event.at, event.log_offset
        step.save(update_fields=["state", "exit_status", "ended_at", "log_end"])

    # The end.

    def end(self, result: str | Remains, now: datetime) -> None:
        """Judges what the host wrote (U2, U10)."""
        self._append(self._stream.finish(), now)
        verdict = judge(self._events, result)
        if isinstance(result, Remains) and result.reported is not None:
            note_version(self.upgrade.instance, result.reported, now=now)
        self._keep_first_error(verdict)
        if self.upgrade.state == UpgradeState.STARTING:
            self.upgrade.move(UpgradeState.RUNNING, now=now)
        self.upgrade.end(Outcome(verdict.ending), _end_code(verdict), now=now, **self._words(verdict))

    def end_not_sent_back(self, text: str, now: datetime) -> None:
        self.upgrade.end(Outcome.NEEDS_A_PERSON, EndCode.NOT_SENT_BACK, now=now, text=text)

    def end_lingering(self, now: datetime) -> None:
        """Cancelled, but what ran could not be ended: never called cancelled (U4)."""
        self._append(self._stream.finish(), now)
        running = [step.title for step in self._steps.values() if step.state == StepState.RUNNING]
        host = self.upgrade.instance.host.name
        self.upgrade.end(
            Outcome.NEEDS_A_PERSON, EndCode.LINGERS, now=now, step=running[-1] if running else "", host=host
        )  # fmt: skip

    def _words(self, verdict: Verdict) -> dict[str, str]:
        step = self._title(verdict.failed_step or "")
        if verdict.detail is Detail.CANCELLED:
            return {"before": step} | cancel_words(self.upgrade)
        if verdict.detail is Detail.STOPPED:
            build = self.upgrade.build
            build.refresh_from_db(fields=["withdrawn_at", "quarantined_at"])
            why = stop_reason(withdrawn=build.is_withdrawn, quarantined=build.quarantined_at is not None)
            return {"before": step, "text": why}
        return {
            "from": self.upgrade.from_version,
            "to": self.upgrade.build.version,
            "host": self.upgrade.instance.host.name,
            "step": step,
            "reported": verdict.version_after or "",
        }

    def _keep_first_error(self, verdict: Verdict) -> None:
        """And the fingerprint of the failure, by which equal ones are grouped (P5, P11)."""
        if verdict.ending in (Ending.SUCCEEDED, Ending.ALREADY_THERE) or verdict.detail in NOBODY_FAILED:
            return
        step = next((step for step in self._steps.values() if step.name == verdict.failed_step), None)
        if step is not None and step.log_start is not None:
            self._find_first_error(step.log_start, step.log_end or self.log_size)
        gist = (verdict.failed_step or verdict.detail, step.exit_status if step else None, self.upgrade.first_error)
        self.upgrade.fingerprint = failure_fingerprint(*gist)
        self.upgrade.save(update_fields=["first_error", "first_error_line", "fingerprint"])

    def _find_first_error(self, start: int, end: int) -> None:
        start = max(start, end - SEARCHED)
        error = first_error(read_log(self.upgrade, start, end))
        if error:
            before = lines_before(self.upgrade, start)
            self.upgrade.first_error, self.upgrade.first_error_line = error.text, before + error.line


def _place(event: StepStarted | StepEnded) -> int:
    return event.position + (WAY_BACK_PLACE if event.phase is Phase.BACK else 0)


def _end_code(verdict: Verdict) -> EndCode:
    if verdict.ending is Ending.ALREADY_THERE:
        return EndCode.ALREADY_THERE
    if verdict.ending is Ending.SUCCEEDED:
        return EndCode.DONE
    return {
        Detail.NOTHING: EndCode.STEP_FAILED,
        Detail.STEP_FAILED: EndCode.STEP_FAILED,
        Detail.STEP_TIMED_OUT: EndCode.STEP_TIMED_OUT,
        Detail.OTHER_VERSION: EndCode.OTHER_VERSION,
        Detail.WAY_BACK_FAILED: EndCode.WAY_BACK_FAILED,
        Detail.OLD_VERSION_NOT_BACK: EndCode.WRONG_VERSION,
        Detail.STOPPED: EndCode.STOPPED,
        Detail.CANCELLED: EndCode.CANCELLED,
        Detail.LINGERS: EndCode.LINGERS,
        Detail.SENT_BACK: EndCode.SENT_BACK,
        Detail.RUNNER_GONE: EndCode.RUNNER_GONE,
        Detail.RESULT_UNREADABLE: EndCode.RESULT_UNREADABLE,
    }[verdict.detail]
