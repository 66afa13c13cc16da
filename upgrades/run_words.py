"""The words for waves and halts, as the pages of runs and of tonight and the commands say them (P4, P5)."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from releasemgr.lib import words
from upgrades.choices import HaltEnd, RunKind, WaveChoice
from upgrades.halting import HaltCode, Limits, WaveSoFar, most_allowed
from upgrades.models import Run, RunHalt
from upgrades.sentences import halt_sentence, night_words
from upgrades.waves import Wave, WaveKind


def night_name(run: Run) -> str:
    """“Night of 22 to 23 November”, by the installation's clock."""
    if run.date is None:
        return _("Retry") if run.kind == RunKind.RETRY else _("Manual run")
    return night_words(run.date, local_date(run.ends_at))


def local_date(moment: datetime) -> date:
    """By the installation's clock."""
    return moment.astimezone(ZoneInfo(settings.TIME_ZONE)).date()


def numbered(run: Run) -> str:
    """“Night of 22 to 23 November #412”."""
    return f"{night_name(run)} #{run.pk}"


def wave_name(number: int, kind: str) -> str:
    """“Wave 2, canaries of the live sites”."""
    return _("Wave %(number)d, %(kind)s") % {"number": number, "kind": WaveChoice(kind).label}


def clock_time(moment: datetime) -> str:
    """“01:00”, in UTC."""
    return f"{moment.astimezone(UTC):%H:%M}"


def wave_turn(wave: Wave, waves: Sequence[Wave], pause: timedelta) -> str:
    """“from 01:00, after wave 1”: never “at”, since a wave waits for those before it (P4)."""
    values = {"time": clock_time(wave.opens_at), "pause": words.took(pause)}
    earlier = [one for one in waves if one.stage < wave.stage and one.opens_at <= wave.opens_at]
    if not earlier:
        return _("from %(time)s") % values
    values["wave"] = str(max(earlier, key=lambda one: one.number).number)
    text = _("from %(time)s, %(pause)s after wave %(wave)s") if pause else _("from %(time)s, after wave %(wave)s")
    return text % values


def wave_limit(kind: str, planned: int, limits: Limits) -> str:
    """When it halts the run: “halts above 2 failures”, “halts at the first failure” (P5)."""
    allowed = limits.canaries - 1 if kind == WaveKind.CANARY else most_allowed(planned, limits)
    if allowed >= planned:
        return _("too small to halt by its failures")
    if not allowed:
        return _("halts at the first failure")
    return ngettext("halts above %(n)d failure", "halts above %(n)d failures", allowed) % {"n": allowed}


def wave_result(so_far: WaveSoFar, limit: int | None) -> str:
    """“2 of 8 failed, limit 2, 1 not reachable”."""
    said = [_("%(failed)d of %(planned)d failed") % {"failed": so_far.failed, "planned": so_far.planned}]
    if limit is not None:
        said.append(_("limit %(limit)d") % {"limit": limit})
    if so_far.unreachable:
        said.append(_("%(n)d not reachable") % {"n": so_far.unreachable})
    return ", ".join(said)


def halt_title(halt: RunHalt) -> str:
    """“Halted at 02:31 in wave 2.” or, by a person, “Halted at 02:31 by Ines Okafor: “…”.”"""
    time = clock_time(halt.at)
    if halt.code == HaltCode.PERSON:
        who = halt.by.get_full_name() or halt.by.get_username() if halt.by else _("the command line")
        return _("Halted at %(time)s by %(who)s: “%(reason)s”.") % {"time": time, "who": who, "reason": halt.reason}
    if halt.wave:
        return _("Halted at %(time)s in wave %(wave)d.") % {"time": time, "wave": halt.wave.number}
    return _("Halted at %(time)s.") % {"time": time}


def halt_cause(halt: RunHalt) -> str:
    """Which limit it was. Empty where a person halted it: the title says why."""
    return "" if halt.code == HaltCode.PERSON else halt_sentence(HaltCode(halt.code), halt.values)


def halt_end(halt: RunHalt) -> str:
    """What became of it: “Resumed at 02:40 by Ines Okafor: “…”.” Empty while nobody has decided."""
    if not halt.ended_at:
        return ""
    if halt.end == HaltEnd.RUN_OVER:
        return _("Its time was over at %(time)s.") % {"time": clock_time(halt.ended_at)}
    who = halt.ended_by.get_full_name() or halt.ended_by.get_username() if halt.ended_by else _("the command line")
    text = (
        _("Resumed at %(time)s by %(who)s: “%(reason)s”.")
        if halt.end == HaltEnd.RESUMED
        else _("Ended at %(time)s by %(who)s: “%(reason)s”.")
    )
    return text % {"time": clock_time(halt.ended_at), "who": who, "reason": halt.end_reason}


def left_waiting(waiting: int, running: int) -> list[str]:
    """What a run that stands still has not begun, and what finishes all the same."""
    said = []
    if waiting:
        text = ngettext(
            "%(n)d upgrade has not begun: its site is on its old version.",
            "%(n)d upgrades have not begun: their sites are on their old version.",
            waiting,
        )
        said.append(text % {"n": waiting})
    if running:
        text = ngettext("%(n)d that had begun finishes.", "%(n)d that had begun finish.", running)
        said.append(text % {"n": running})
    return said


def left_out(number: int) -> str:
    """What a halted run never began. Empty for none."""
    text = ngettext(
        "%(n)d was not started and is planned again the night after.",
        "%(n)d were not started and are planned again the night after.",
        number,
    )
    return text % {"n": number} if number else ""


def kept_back(versions: Collection[str]) -> str:
    """Builds that are offered to nobody (P5). Empty for none."""
    text = ngettext(
        "%(versions)s is offered to no site until somebody offers it again or withdraws it.",
        "%(versions)s are offered to no site until somebody offers them again or withdraws them.",
        len(versions),
    )
    return text % {"versions": ", ".join(versions)} if versions else ""


def same_failure(sites: int, times: int, first: datetime | None, before: datetime, now: datetime) -> str:
    """“The same failure on 3 sites, first on 12 Nov.” Empty where it happened once."""
    if times < 2:
        return ""
    text = ngettext("The same failure on %(n)d site", "The same failure on %(n)d sites", sites) % {"n": sites}
    if times > sites:
        text = _("%(text)s, %(times)d times") % {"text": text, "times": times}
    if first and first < before:
        text = _("%(text)s, first on %(day)s") % {"text": text, "day": words.day_of(first, now)}
    return f"{text}."
