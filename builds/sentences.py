"""The words for the judgement of a promotion (R11)."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.choices import SeverityChoice
from builds.maturity import Gate, GateCode, Judgement, ProblemFacts


def gate_title(gate: Gate) -> str:
    if gate.code is GateCode.SOAK and gate.into:
        if not gate.soak:
            return _("No soak time for %(channel)s") % {"channel": gate.into.channel}
        return _("%(soak)s in %(before)s") % {
            "soak": in_days(gate.soak),
            "before": gate.into.before.name.lower(),
        }
    return {
        GateCode.SMOKE: _("Smoke tests passed"),
        GateCode.NOT_WITHDRAWN: _("Not withdrawn"),
        GateCode.NOT_QUARANTINED: _("Artefact unchanged"),
        GateCode.NOT_ARCHIVED: _("Not archived"),
        GateCode.NO_BLOCKERS: _("No open blocker"),
        GateCode.ACKNOWLEDGED: _("Known problems acknowledged"),
    }[gate.code]


def gate_detail(gate: Gate, judgement: Judgement) -> str:
    """Why it passes or not, and when it will. Empty where the title says it all."""
    version = judgement.build.version
    if gate.code is GateCode.SOAK:
        return _soak_detail(gate, version)
    if gate.problems:
        return _problems_detail(gate, version)
    if gate.passed:
        return ""
    return {
        GateCode.SMOKE: _("The smoke tests of %(version)s have not passed. Report them as passed first."),
        GateCode.NOT_WITHDRAWN: _("%(version)s was withdrawn. Register a newer build."),
        GateCode.NOT_QUARANTINED: _(
            "The artefact of %(version)s no longer matches its checksum. Register a new build."
        ),
        GateCode.NOT_ARCHIVED: _("%(version)s is archived. Register its artefact again first."),
    }[gate.code] % {"version": version}


def _problems_detail(gate: Gate, version: str) -> str:
    """Names each problem by its number, those that fail the gate alone where some do."""
    if gate.passed:
        return problems_of(gate.problems)
    values = {"version": version, "problems": problems_of(gate.in_the_way)}
    if gate.code is GateCode.ACKNOWLEDGED:
        return _("Acknowledge for %(version)s: %(problems)s.") % values
    return _("Open on %(version)s: %(problems)s.") % values


def problems_of(problems: Iterable[ProblemFacts]) -> str:
    """“P-118 Loses attachments (blocker), P-119 Typing error (minor)”."""
    return ", ".join(problem_text(problem) for problem in problems)


def problem_text(problem: ProblemFacts) -> str:
    values = {"name": problem.name, "title": problem.title, "severity": SeverityChoice(problem.severity).label}
    return (_("%(name)s %(title)s (%(severity)s)") if problem.title else _("%(name)s (%(severity)s)")) % values


def override_text(gate: Gate, judgement: Judgement, problem: ProblemFacts | None) -> str:
    """What a gate that a person promoted through said then (R8)."""
    if problem:
        return f"{gate_title(gate)}: {problem_text(problem)}"
    return f"{gate_title(gate)}: {gate_detail(gate, judgement)}"


def _soak_detail(gate: Gate, version: str) -> str:
    if not gate.soak or gate.into is None:
        return ""
    if gate.since is None or gate.ends_at is None:
        return _("The clock starts when %(version)s is in %(before)s.") % {
            "version": version,
            "before": gate.into.before.name.lower(),
        }
    values = {"since": stamp(gate.since), "end": stamp(gate.ends_at)}
    if gate.passed:
        return _("%(since)s to %(end)s") % values
    return _("Since %(since)s, complete on %(end)s.") % values


def refusal(judgement: Judgement, gate: Gate | None = None) -> str:
    """What a promotion that is not allowed is told: this gate or the first that fails, and when it will pass."""
    gate = gate or judgement.failing[0]
    return _("%(version)s cannot enter %(channel)s. %(reason)s") % {
        "version": judgement.build.version,
        "channel": judgement.to.channel,
        "reason": _soak_refusal(gate, judgement) if gate.code is GateCode.SOAK else gate_detail(gate, judgement),
    }


def _soak_refusal(gate: Gate, judgement: Judgement) -> str:
    detail = gate_detail(gate, judgement)
    return _("It needs %(soak)s: %(detail)s") % {
        "soak": gate_title(gate),
        "detail": detail[:1].lower() + detail[1:],
    }


def in_days(duration: timedelta) -> str:
    """Whole days where it is whole days, else hours, else minutes."""
    if duration % timedelta(days=1) == timedelta(0):
        return ngettext("%(n)d day", "%(n)d days", duration.days) % {"n": duration.days}
    if duration < timedelta(hours=1):
        minutes = round(duration.total_seconds() / 60)
        return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    hours = round(duration.total_seconds() / 3600)
    return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}


def stamp(moment: datetime) -> str:
    return formats.date_format(timezone.localtime(moment), "j M H:i")
