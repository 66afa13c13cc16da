"""The words for the judgement of a promotion (R11)."""

from datetime import datetime, timedelta

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.maturity import Gate, GateCode, Judgement


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
    }[gate.code]


def gate_detail(gate: Gate, judgement: Judgement) -> str:
    """Why it passes or not, and when it will. Empty where the title says it all."""
    version = judgement.build.version
    if gate.code is GateCode.SOAK:
        return _soak_detail(gate, version)
    if gate.passed:
        return ""
    return {
        GateCode.SMOKE: _("The smoke tests of %(version)s have not passed. Report them as passed first."),
        GateCode.NOT_WITHDRAWN: _("%(version)s was withdrawn. Register a newer build."),
        GateCode.NOT_QUARANTINED: _(
            "The artefact of %(version)s no longer matches its checksum. Register a new build."
        ),
    }[gate.code] % {"version": version}


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


def refusal(judgement: Judgement) -> str:
    """What a promotion that is not allowed is told: the first failing gate, and when it will pass."""
    gate = judgement.failing[0]
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
