"""What the commands print of plans and runs with --json, and the same as text (docs/commands.md)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from builds.sentences import stamp
from releasemgr.lib.commands import table
from upgrades import run_words, sentences
from upgrades.choices import EndCode, Outcome, RunKind
from upgrades.exceptions import UnknownRun, UnknownUpgrade
from upgrades.halting import HaltCode, Limits, most_allowed
from upgrades.models import Decision as Recorded
from upgrades.models import Policy, Run, RunHalt, Schedule, Upgrade, Wave
from upgrades.night import Night
from upgrades.plan import GOING, Check, Code, Decision, Rule
from upgrades.services.policy import POLICY_FIELDS
from upgrades.waves import Wave as PlannedWave
from upgrades.waves import WaveKind


def decision_shape(decision: Decision) -> dict[str, Any]:
    """`to` is the build that the target means, also where the site does not go there."""
    site = decision.site
    return {
        "site": site.slug,
        "kind": "live" if site.live else "test",
        "host": site.host,
        "target": site.channel.channel if site.channel else "pin",
        "upgrades": decision.upgrades,
        "code": decision.code,
        "sentence": sentences.decision_sentence(decision),
        "from": site.reported,
        "to": decision.to.version if decision.to else None,
        "legs": [leg.version for leg in decision.legs],
        "wave": decision.wave,
        "opens_at": decision.opens_at,
        "rules": [_check_shape(check, decision.deciding) for check in decision.checks],
    }


def wave_shape(wave: PlannedWave, decisions: Sequence[Decision], limits: Limits) -> dict[str, Any]:
    """`planned` counts every leg; `halts_above` is how many of them may fail before it halts the run (P5)."""
    planned = sum(len(one.legs) for one in decisions if one.wave == wave.number)
    return {
        "wave": wave.number,
        "kind": wave.kind,
        "opens_at": wave.opens_at,
        "sites": len(wave.sites),
        "planned": planned,
        "halts_above": limits.canaries - 1 if wave.kind is WaveKind.CANARY else most_allowed(planned, limits),
    }


def _check_shape(check: Check, deciding: Check | None) -> dict[str, Any]:
    return {
        "rule": check.rule,
        "title": str(sentences.RULE_TITLES[check.rule]),
        "passed": check.passed,
        "code": check.code,
        "decides": check is deciding,
        "sentence": sentences.check_sentence(check),
    }


def decision_text(decision: Decision) -> str:
    """A line for the site, and one for each rule looked at; what decided is marked."""
    shape = decision_shape(decision)
    rules = [f"  {_mark(rule):8}{rule['title']}: {rule['sentence']}" for rule in shape["rules"]]
    return "\n".join([f"{shape['site']}  {shape['code']}  {way(shape['from'], shape['to'])}", *rules])


def _mark(rule: dict[str, Any]) -> str:
    return "decides" if rule["decides"] else "ok" if rule["passed"] else "also"


def way(before: str, to: str | None) -> str:
    return f"{before or 'unknown'} → {to or 'no build'}"


def run_numbered(number: int) -> Run:
    """Raises UnknownRun."""
    run = Run.objects.filter(pk=number).first()
    if run is None:
        raise UnknownRun(f"There is no run {number}.")
    return run


def upgrade_numbered(number: int) -> Upgrade:
    """Raises UnknownUpgrade."""
    upgrade = Upgrade.objects.for_list().filter(pk=number).first()
    if upgrade is None:
        raise UnknownUpgrade(f"There is no upgrade {number}.")
    return upgrade


def halt_shape(halt: RunHalt) -> dict[str, Any]:
    return {
        "wave": halt.wave.number if halt.wave else None,
        "at": halt.at,
        "code": halt.code,
        "sentence": sentences.halt_sentence(HaltCode(halt.code), halt.values),
        "by": halt.by.get_username() if halt.by else None,
        "reason": halt.reason,
        "builds": sorted(build.version for build in halt.builds.all()),
        "end": halt.end or None,
        "ended_at": halt.ended_at,
        "end_reason": halt.end_reason,
        "released_at": halt.released_at,
    }


def halt_text(halt: RunHalt) -> str:
    return " ".join(filter(None, (run_words.halt_title(halt), run_words.halt_cause(halt), run_words.halt_end(halt))))


def run_shape(run: Run) -> dict[str, Any]:
    """Costs six queries."""
    upgrades = [upgrade_shape(upgrade) for upgrade in run.upgrades.for_list()]
    return {
        "run": run.pk,
        "kind": run.kind,
        "date": run.date,
        "state": run.state,
        "starts_at": run.starts_at,
        "ends_at": run.ends_at,
        "ended_at": run.ended_at,
        "waves": [_recorded_wave(wave) for wave in run.waves.all()],
        "halts": [halt_shape(halt) for halt in run.halts.for_page()],
        "outcomes": dict(Counter(upgrade["outcome"] for upgrade in upgrades if upgrade["outcome"])),
        "upgrades": upgrades,
        "not_upgraded": [_recorded_shape(one) for one in _not_upgraded(run)],
    }


def _recorded_wave(wave: Wave) -> dict[str, Any]:
    return {"wave": wave.number, "kind": wave.kind, "opens_at": wave.opens_at, "planned": wave.planned}


def upgrade_shape(upgrade: Upgrade) -> dict[str, Any]:
    return {
        "upgrade": upgrade.pk,
        "site": upgrade.instance.slug,
        "wave": upgrade.wave.number if upgrade.wave else None,
        "leg": upgrade.leg,
        "from": upgrade.from_version,
        "to": upgrade.build.version,
        "state": upgrade.state,
        "outcome": upgrade.outcome,
        "sentence": _end_of(upgrade),
        "first_error": upgrade.first_error,
        "took_s": upgrade.took,
    }


def _end_of(upgrade: Upgrade) -> str:
    if upgrade.outcome is None:
        return ""
    return sentences.end_sentence(Outcome(upgrade.outcome), EndCode(upgrade.end_code), upgrade.end_values)


def _not_upgraded(run: Run) -> list[Recorded]:
    return list(run.decisions.exclude(code__in=GOING).select_related("instance", "build").order_by("pk"))


def _recorded_shape(recorded: Recorded) -> dict[str, Any]:
    return {
        "site": recorded.instance.slug,
        "code": recorded.code,
        "sentence": _recorded_sentence(recorded.checks),
        "from": recorded.from_version,
        "to": recorded.build.version if recorded.build else None,
    }


def _recorded_sentence(checks: list[dict[str, Any]]) -> str:
    check = next(check for check in checks if check["code"])
    return sentences.rule_sentence(Rule(check["rule"]), Code(check["code"]), check["values"])


def run_text(run: Run) -> str:
    """A table of the run's upgrades, and why the other sites got none."""
    shape = run_shape(run)
    lines = [_run_line(run, len(shape["upgrades"])), *[halt_text(halt) for halt in run.halts.for_page()]]
    if shape["upgrades"]:
        rows = [
            [one["site"], one["from"], one["to"], _status(one), _seconds(one["took_s"]), one["sentence"]]
            for one in shape["upgrades"]
        ]
        lines += ["", table(["Site", "From", "To", "Outcome", "Took", "What happened"], rows)]
    if shape["not_upgraded"]:
        rows = [[one["site"], one["code"], one["sentence"]] for one in shape["not_upgraded"]]
        lines += ["", table(["Not upgraded", "Code", "Why"], rows)]
    return "\n".join(lines)


def _run_line(run: Run, upgrades: int) -> str:
    what = f"The night of {run.date.isoformat()}" if run.date else str(RunKind(run.kind).label).capitalize()
    end = f"ended {stamp(run.ended_at)}" if run.ended_at else "is under way"
    return f"{what}, run {run.pk}: upgrades {upgrades}, {end}."


def _status(one: dict[str, Any]) -> str:
    return str(Outcome(one["outcome"]).label if one["outcome"] else one["state"])


def _seconds(took: Any) -> str:
    return f"{took.total_seconds():.0f} s" if took is not None else ""


def policy_shape(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in POLICY_FIELDS}


def schedule_shape(schedule: Schedule, night: Night) -> dict[str, Any]:
    """`next_night` is the first one that has not started."""
    return {
        "start": f"{schedule.start:%H:%M}",
        "end": f"{schedule.end:%H:%M}",
        "next_night": {"date": night.date, "starts_at": night.starts_at, "ends_at": night.ends_at},
    }
