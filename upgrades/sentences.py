"""The words for the plan's decisions, for the rules it looked at, and for how upgrades ended.

The plan and the rows keep codes with values; this is the only place where they become sentences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from builds.sentences import stamp
from releasemgr.lib.choices import Colour
from releasemgr.lib.words import place_of
from upgrades.choices import CONNECTION_TROUBLE, PARKS_NOTHING, SHARED_TROUBLE, EndCode, Outcome, RunState
from upgrades.halting import HaltCode
from upgrades.plan import Check, Code, Decision, NoWayDown, Rule


@dataclass(frozen=True)
class Look:
    """How a code looks on screen: a short word, its colour and its icon ("" for a word alone)."""

    label: Any
    colour: Colour
    icon: str


LOOKS: dict[Code, Look] = {
    Code.UPGRADE: Look(gettext_lazy("Upgrades tonight"), Colour.RUN, "circle-arrow-up"),
    Code.DOWNGRADE: Look(gettext_lazy("Goes back tonight"), Colour.RUN, "circle-arrow-down"),
    Code.VERSION_UNKNOWN: Look(gettext_lazy("Version unknown"), Colour.WARN, "triangle-alert"),
    Code.UP_TO_DATE: Look(gettext_lazy("On target"), Colour.OK, "circle-check"),
    Code.AHEAD: Look(gettext_lazy("Ahead of its channel"), Colour.IDLE, "clock"),
    Code.NO_BUILD: Look(gettext_lazy("No build in its channel"), Colour.IDLE, "circle-minus"),
    Code.TARGET_WITHDRAWN: Look(gettext_lazy("Target withdrawn"), Colour.BAD, "ban"),
    Code.QUARANTINED: Look(gettext_lazy("Target quarantined"), Colour.BAD, "ban"),
    Code.ARTIFACT_MISSING: Look(gettext_lazy("Artefact missing"), Colour.BAD, "circle-x"),
    Code.SMOKE_FAILED: Look(gettext_lazy("Smoke tests not passed"), Colour.BAD, "circle-x"),
    Code.DOWNGRADE_REFUSED: Look(gettext_lazy("Downgrade refused"), Colour.WARN, "ban"),
    Code.NEEDS_A_PERSON: Look(gettext_lazy("Needs a person"), Colour.BAD, "octagon-x"),
    Code.ON_HOLD: Look(gettext_lazy("On hold"), Colour.HOLD, "circle-pause"),
    Code.FROZEN: Look(gettext_lazy("Frozen"), Colour.HOLD, "snowflake"),
    Code.BLOCKED_BY_PROBLEM: Look(gettext_lazy("Open problem"), Colour.BAD, "bug"),
    Code.BLOCKED_BY_HALT: Look(gettext_lazy("Halted a run"), Colour.BAD, "octagon-x"),
    Code.PARKED: Look(gettext_lazy("Waits for a decision"), Colour.WARN, "undo-2"),
    Code.OUTSIDE_WINDOW: Look(gettext_lazy("Outside window"), Colour.IDLE, "calendar-clock"),
    Code.WINDOW_TOO_SHORT: Look(gettext_lazy("Window too short"), Colour.WARN, "calendar-clock"),
    Code.HOST_DISABLED: Look(gettext_lazy("Host switched off"), Colour.HOLD, "circle-pause"),
    Code.HOST_KEY: Look(gettext_lazy("Host key not approved"), Colour.BAD, "key-round"),
    Code.ALREADY_RUNNING: Look(gettext_lazy("Upgrade under way"), Colour.RUN, "loader-circle"),
}

RULE_TITLES: dict[Rule, Any] = {
    Rule.VERSION: gettext_lazy("Current version"),
    Rule.TARGET: gettext_lazy("Target"),
    Rule.BUILD: gettext_lazy("Build"),
    Rule.DIRECTION: gettext_lazy("Direction"),
    Rule.STANDING: gettext_lazy("Earlier upgrades"),
    Rule.PAUSE: gettext_lazy("Hold or freeze"),
    Rule.BLOCKED: gettext_lazy("Problems and halts"),
    Rule.PARKED: gettext_lazy("Failures"),
    Rule.WINDOW: gettext_lazy("Window"),
    Rule.HOST: gettext_lazy("Host"),
    Rule.RUNNING: gettext_lazy("Under way"),
}


def decision_sentence(decision: Decision) -> str:
    """What the night does to the site and why, in one sentence (P2)."""
    if decision.upgrades and decision.to:
        return str(_going_words(decision)) % _way_of(decision)
    check = decision.deciding
    return check_sentence(check) if check else ""


def _going_words(decision: Decision) -> Any:
    if decision.code is Code.DOWNGRADE:
        return gettext_lazy("Goes back from %(from)s to %(to)s.")
    if len(decision.legs) < len(decision.path):
        return gettext_lazy(
            "Upgrades from %(from)s to %(tonight)s, on the way to %(to)s. The rest of the way does not fit tonight."
        )
    if len(decision.legs) > 1:
        return gettext_lazy("Upgrades from %(from)s over %(via)s to %(to)s.")
    return gettext_lazy("Upgrades from %(from)s to %(to)s.")


def _way_of(decision: Decision) -> dict[str, str]:
    assert decision.to  # noqa: S101 - its callers looked
    return {
        "from": decision.site.reported,
        "to": decision.to.version,
        "via": ", ".join(leg.version for leg in decision.legs[:-1]),
        "tonight": decision.legs[-1].version if decision.legs else "",
    }


def short_sentence(decision: Decision) -> str:
    """The same in a few words, for a row of a table."""
    if decision.upgrades and decision.to:
        words = _("Back to %(to)s") if decision.code is Code.DOWNGRADE else _("Upgrade to %(to)s")
        return words % {"to": (decision.legs[-1] if decision.legs else decision.to).version}
    return str(LOOKS[decision.code].label)


def preview_sentences(before: Decision, after: Decision) -> tuple[str, str]:
    """What the night does to a site after a change of its target, and a second sentence: why, or beside what (T3)."""
    other = before.to.version if before.upgrades and before.to else ""
    if not (after.upgrades and after.to):
        words = _("nothing happens tonight, instead of an upgrade to %s.") if other else _("nothing happens tonight.")
        return words % other if other else words, decision_sentence(after)
    reached = after.legs[-1] if after.legs else after.to
    versions = {"from": after.site.reported, "to": reached.version, "other": other}
    if after.code is Code.DOWNGRADE:
        words = _("tonight this site goes back from %(from)s to %(to)s.")
    elif other and other != after.to.version:
        words = _("tonight this site upgrades from %(from)s to %(to)s, instead of to %(other)s.")
    else:
        words = _("tonight this site upgrades from %(from)s to %(to)s.")
    return words % versions, _("Nothing happens before the night.") if len(after.path) < 2 else decision_sentence(after)


def check_sentence(check: Check) -> str:
    """What one rule says of the site: a line of the page Why."""
    return rule_sentence(check.rule, check.code, check.values, check.waived)


def rule_sentence(rule: Rule, code: Code | None, values: Mapping[str, Any], waived: Code | None = None) -> str:
    """As `check_sentence`, from what a run recorded. `code` is None where the rule lets the site move."""
    if rule is Rule.TARGET:
        return _target_sentence(code, values)
    if waived:
        held = rule_sentence(rule, waived, values)
        return _("%(sentence)s A person set this aside for this run.") % {"sentence": held}
    if rule is Rule.DIRECTION:
        return str(NO_WAY_DOWN[NoWayDown(values["why"])] if code else PASSES[rule]) % values
    return str(REFUSALS[code] if code else _passes(rule, values)) % _readable(values)


def _target_sentence(code: Code | None, values: Mapping[str, Any]) -> str:
    said = [str(_target_words(values)[code]) % values]
    if values.get("over"):
        said.insert(0, _("The pin to %(over)s is over.") % values)
    if values.get("via"):
        said.append(_("Every site passes through %(via)s.") % values)
    return " ".join(said)


def _passes(rule: Rule, values: Mapping[str, Any]) -> Any:
    if rule is Rule.WINDOW and not values.get("opens_at"):
        return gettext_lazy("The window has room for it.")
    return PASSES[rule]


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """With moments in words, and the hour of a window in its own zone."""
    readable = dict(values)
    if until := values.get("until"):
        readable["until"] = stamp(datetime.fromisoformat(until))
    if opens_at := values.get("opens_at"):
        local = datetime.fromisoformat(opens_at).astimezone(ZoneInfo(values["zone"]))
        readable |= {"from": f"{local:%H:%M}", "zone": place_of(values["zone"])}
    if "reason" in values:
        readable["because"] = f": “{values['reason']}”" if values["reason"] else ""
    return readable


def _target_words(values: Mapping[str, Any]) -> "dict[Code | None, Any]":
    words = FOLLOWING if values["channel"] else PINNED
    return words if values["from"] else words | {None: FROM_UNKNOWN[bool(values["channel"])]}


PASSES: dict[Rule, Any] = {
    Rule.VERSION: gettext_lazy("The site reports %(reported)s."),
    Rule.BUILD: gettext_lazy("%(to)s passed its smoke tests, is not withdrawn, and its artefact is there."),
    Rule.STANDING: gettext_lazy("No earlier upgrade waits for a person."),
    Rule.DIRECTION: gettext_lazy("Pinned to %(to)s, which is older than %(from)s. Going back was allowed."),
    Rule.PAUSE: gettext_lazy("No hold and no freeze."),
    Rule.BLOCKED: gettext_lazy("No open blocker, and no run was halted by it."),
    Rule.PARKED: gettext_lazy("It has not failed on this site."),
    Rule.WINDOW: gettext_lazy("Opens at %(from)s in %(zone)s, with room for it."),
    Rule.HOST: gettext_lazy("%(host)s is switched on and its key is approved."),
}

# What Rule.TARGET says differs for a channel and for a pin. The key None: it lets the site move.
FOLLOWING: dict[Code | None, Any] = {
    None: gettext_lazy("Follows %(channel)s. Its build is %(to)s, and %(from)s is older."),
    Code.UP_TO_DATE: gettext_lazy("Follows %(channel)s and runs its build, %(to)s."),
    Code.AHEAD: gettext_lazy("Runs %(from)s, ahead of %(channel)s, which is %(to)s. Waits for %(from)s or later."),
    Code.NO_BUILD: gettext_lazy("Follows %(channel)s, which has no build. The site stays where it is."),
}
PINNED: dict[Code | None, Any] = {
    None: gettext_lazy("Pinned to %(to)s, and runs %(from)s."),
    Code.UP_TO_DATE: gettext_lazy("Pinned to %(to)s and runs it."),
}

# In place of the key None while the site's version is unknown, for a channel and for a pin.
FROM_UNKNOWN = {
    True: gettext_lazy("Follows %(channel)s, which is %(to)s."),
    False: gettext_lazy("Pinned to %(to)s."),
}

NO_WAY_DOWN: dict[NoWayDown, Any] = {
    NoWayDown.CONSENT: gettext_lazy(
        "Pinned to %(to)s, which is older than %(from)s. Going back was not allowed for this pair of versions."
    ),
    NoWayDown.RECIPE: gettext_lazy(
        "Pinned to %(to)s, which is older than %(from)s. The site's recipe has no way down."
    ),
    NoWayDown.STONE: gettext_lazy(
        "Pinned to %(to)s, which is older than %(from)s. A stepping stone lies between, and nobody goes back over it."
    ),
}

REFUSALS: dict[Code, Any] = {
    Code.VERSION_UNKNOWN: gettext_lazy(
        "The site has not reported a version that can be read. It is asked before the night, and never upgraded blind."
    ),
    Code.TARGET_WITHDRAWN: gettext_lazy("Pinned to %(to)s, which was withdrawn. Choose another target."),
    Code.QUARANTINED: gettext_lazy(
        "The artefact of %(to)s no longer matches its checksum. Register the build anew under another version."
    ),
    Code.ARTIFACT_MISSING: gettext_lazy("The artefact of %(to)s is not in the artefact folder. Register it again."),
    Code.SMOKE_FAILED: gettext_lazy("The smoke tests of %(to)s have not passed. The site waits until they do."),
    Code.NEEDS_A_PERSON: gettext_lazy(
        "Upgrade %(upgrade)s left the site in doubt. It waits until a person unlocks it."
    ),
    Code.ON_HOLD: gettext_lazy("On hold until %(until)s%(because)s."),
    Code.FROZEN: gettext_lazy("Frozen until %(until)s (%(scope)s)%(because)s."),
    Code.BLOCKED_BY_PROBLEM: gettext_lazy(
        "%(to)s is blocked by P-%(problem)s, %(title)s. The site waits until someone acknowledges it or it is closed."
    ),
    Code.BLOCKED_BY_HALT: gettext_lazy(
        "%(to)s halted run %(run)s. It is offered to nobody until a person resumes, releases or withdraws it."
    ),
    Code.PARKED: gettext_lazy(
        "%(to)s did not succeed on this site in upgrade %(upgrade)s. It waits until a person retries."
    ),
    Code.OUTSIDE_WINDOW: gettext_lazy("No window of the site opens then."),
    Code.WINDOW_TOO_SHORT: gettext_lazy("The window is too short: an upgrade of the site needs %(needs)s min."),
    Code.HOST_DISABLED: gettext_lazy("%(host)s is switched off. Nothing runs there."),
    Code.HOST_KEY: gettext_lazy("The key of %(host)s is not approved. Compare its fingerprint and approve it."),
    Code.ALREADY_RUNNING: gettext_lazy("Upgrade %(upgrade)s of this site is under way."),
}


def totals(decisions: list[Decision]) -> str:
    """The night in a few words: “3 upgrades”."""
    number = sum(decision.upgrades for decision in decisions)
    return ngettext("%(n)d upgrade", "%(n)d upgrades", number) % {"n": number}


END_SENTENCES: dict[EndCode, Any] = {
    EndCode.DONE: gettext_lazy("Every check passed and the site reports %(to)s."),
    EndCode.ALREADY_THERE: gettext_lazy("The site reported %(to)s before anything was done."),
    EndCode.STEP_FAILED: gettext_lazy("Failed at %(step)s."),
    EndCode.STEP_TIMED_OUT: gettext_lazy("Stopped at %(step)s: its time limit was over."),
    EndCode.OTHER_VERSION: gettext_lazy("Every step passed, but the site reports %(reported)s, not %(to)s."),
    EndCode.WAY_BACK_FAILED: gettext_lazy("Failed at %(step)s, and the way back failed too."),
    EndCode.WRONG_VERSION: gettext_lazy("Failed at %(step)s. After the way back the site reports %(reported)s."),
    EndCode.STOPPED: gettext_lazy("Stopped before %(before)s: %(text)s"),
    EndCode.CANCELLED: gettext_lazy("Cancelled by %(who)s: “%(why)s”."),
    EndCode.LINGERS: gettext_lazy("%(step)s was to be ended, but still runs on %(host)s."),
    EndCode.GIVEN_UP: gettext_lazy("%(who)s gave it up while %(host)s did not answer: “%(why)s”."),
    EndCode.SENT_BACK: gettext_lazy("Had failed at %(step)s. A person had the way back run again."),
    EndCode.NOT_SENT_BACK: gettext_lazy("The way back could not be run again: %(text)s"),
    EndCode.RUNNER_GONE: gettext_lazy("The upgrade stopped on the host during %(step)s without an end."),
    EndCode.RESULT_UNREADABLE: gettext_lazy("The host left a result that cannot be read."),
    EndCode.UNREACHABLE: gettext_lazy("%(host)s could not be reached: %(text)s"),
    EndCode.HOST_KEY: gettext_lazy("%(host)s offers a key that is not approved: %(text)s"),
    EndCode.SIGN_IN: gettext_lazy("%(host)s refused the sign-in: %(text)s"),
    EndCode.KEY_REFUSED: gettext_lazy("%(text)s %(host)s was not asked."),
    EndCode.JUMP_HOST: gettext_lazy("%(host)s was not reached: %(text)s"),
    EndCode.SITE_LOCKED: gettext_lazy("Something else holds the site's lock on %(host)s: %(text)s"),
    EndCode.OTHER_SITE: gettext_lazy(
        "The directory of %(site)s on %(host)s is marked as %(text)s. Say on the site’s page whose it is."
    ),
    EndCode.VERSION_UNREADABLE: gettext_lazy("The site's version could not be read: %(text)s"),
    EndCode.START_FAILED: gettext_lazy("The upgrade could not be started on %(host)s: %(text)s"),
    EndCode.ARTIFACT_DAMAGED: gettext_lazy("The artefact of %(to)s no longer matches its checksum. It is quarantined."),
    EndCode.RECIPE_INVALID: gettext_lazy("The recipe cannot be used: %(text)s"),
    EndCode.SECRET_UNUSABLE: gettext_lazy("A secret of its recipe is missing or cannot be used: %(text)s"),
    EndCode.DRIFT: gettext_lazy("The site reports %(reported)s, not %(from)s as recorded. It is planned anew."),
    EndCode.REPLANNED: gettext_lazy("When its turn came: %(text)s"),
    EndCode.RUN_HALTED: gettext_lazy("The run was halted: %(text)s"),
    EndCode.RUN_ENDED: gettext_lazy("A person ended the run before its turn came."),
    EndCode.PATH_ENDED: gettext_lazy("Leg %(leg)s of its way did not succeed."),
    EndCode.TIME_OVER: gettext_lazy("Its turn did not come before the run's time was over."),
}

STANDING: dict[Outcome, Any] = {
    Outcome.SUCCEEDED: "",
    Outcome.ALREADY_THERE: "",
    Outcome.ROLLED_BACK: gettext_lazy("The site is up on %(from)s again."),
    Outcome.FAILED_CLEAN: gettext_lazy("Nothing was changed: the site runs %(from)s."),
    Outcome.BLOCKED: gettext_lazy("Nothing was touched: the site last reported %(from)s."),
    Outcome.NEEDS_A_PERSON: gettext_lazy("The site may be down. Look at it, then unlock it."),
    Outcome.CANCELLED: gettext_lazy("Nothing was changed: the site runs %(from)s."),
    Outcome.SKIPPED: gettext_lazy("Nothing was touched."),
    Outcome.NOT_STARTED: gettext_lazy("It is planned again tonight."),
}


def end_sentence(outcome: Outcome, code: EndCode, values: Mapping[str, Any]) -> str:
    """What happened and how the site stands now, in one line (U2)."""
    return f"{end_words(code, values)} {standing_words(outcome, values)}".strip()


def end_words(code: EndCode, values: Mapping[str, Any]) -> str:
    return str(END_SENTENCES[code]) % _told(values)


def shared_words(code: EndCode, values: Mapping[str, Any]) -> str:
    """What is at fault for all sites that share the trouble; empty where it is the site's own."""
    return str(values.get("text", "")) if code in SHARED_TROUBLE else ""


def stop_reason(*, withdrawn: bool, quarantined: bool) -> str:
    """Why an upgrade was stopped (R9), by how its build stands."""
    if withdrawn:
        return _("its build was withdrawn.")
    if quarantined:
        return _("the artefact of its build no longer matches its checksum.")
    return _("somebody asked for it on the host.")


def standing_words(outcome: Outcome, values: Mapping[str, Any]) -> str:
    return str(STANDING[outcome]) % values


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """With words for what the host or the site did not tell."""
    unsaid = {"step": _("its first moments"), "reported": _("no version")}
    return {name: value or unsaid.get(name, value) for name, value in values.items()}


RESULTS_AT: dict[Outcome, Any] = {
    Outcome.ROLLED_BACK: gettext_lazy("Rolled back at “%(step)s”"),
    Outcome.FAILED_CLEAN: gettext_lazy("Failed at “%(step)s”, nothing changed"),
    Outcome.BLOCKED: gettext_lazy("Blocked at “%(step)s”"),
    Outcome.NEEDS_A_PERSON: gettext_lazy("Needs a person since “%(step)s”"),
}


def result_words(outcome: Outcome, values: Mapping[str, Any]) -> str:
    """The outcome in a few words, for a row of a table, with the step that decided it."""
    if values.get("who") and values.get("before"):
        return _("Cancelled at “%(before)s”") % values
    if values.get("before"):
        return _("Stopped before “%(before)s”") % values
    if values.get("step") and outcome in RESULTS_AT:
        return str(RESULTS_AT[outcome]) % values
    return str(outcome.label)


ADVICE: dict[Outcome, Any] = {
    Outcome.ROLLED_BACK: gettext_lazy(
        "It is not tried again by itself: remove the cause, then retry, or choose another target."
    ),
    Outcome.FAILED_CLEAN: gettext_lazy("It is not tried again by itself: remove the cause, then retry."),
    Outcome.BLOCKED: gettext_lazy("It is not tried again by itself: remove the cause, then retry."),
}


def advice(outcome: Outcome, code: EndCode) -> str:
    """What a person does about it (P11). Empty where nothing has to be done, or the sentence says it."""
    if code == EndCode.CANCELLED:
        return _("It is not tried again by itself: retry, or choose another target.")
    if code in PARKS_NOTHING:
        return _("Nobody has to do anything: the next night plans the site anew.")
    if outcome is Outcome.BLOCKED and code in CONNECTION_TROUBLE:
        return _("The next night tries again: remove the cause first.")
    return str(ADVICE.get(outcome, ""))


HALTS: dict[HaltCode, Any] = {
    HaltCode.CANARY: gettext_lazy(
        "%(failed)s of %(planned)s canaries failed in wave %(wave)s, and the limit is %(limit)s."
    ),
    HaltCode.SHARE: gettext_lazy("%(failed)s of %(planned)s failed in wave %(wave)s, and the limit is %(limit)s."),
    HaltCode.SAME_FAILURE: gettext_lazy("%(number)s upgrades failed in the same way."),
    HaltCode.UNREACHABLE: gettext_lazy("%(unreachable)s of %(planned)s sites of wave %(wave)s could not be reached."),
    HaltCode.PERSON: gettext_lazy("A person halted it."),
}


def halt_sentence(code: HaltCode, values: Mapping[str, Any]) -> str:
    """Why a run was halted (P5)."""
    return str(HALTS[code]) % values


WAY_ON: dict[Code, Any] = {
    Code.VERSION_UNKNOWN: gettext_lazy("When the site reports its version"),
    Code.TARGET_WITHDRAWN: gettext_lazy("When its target is changed"),
    Code.QUARANTINED: gettext_lazy("When its target is changed"),
    Code.ARTIFACT_MISSING: gettext_lazy("When the build is registered again"),
    Code.SMOKE_FAILED: gettext_lazy("When the smoke tests pass"),
    Code.DOWNGRADE_REFUSED: gettext_lazy("When its target is changed"),
    Code.NEEDS_A_PERSON: gettext_lazy("When a person unlocks it"),
    Code.BLOCKED_BY_PROBLEM: gettext_lazy("When the problem is acknowledged or closed"),
    Code.BLOCKED_BY_HALT: gettext_lazy("When a person resumes, releases or withdraws"),
    Code.PARKED: gettext_lazy("When someone retries"),
    Code.HOST_DISABLED: gettext_lazy("When the host is switched on"),
    Code.HOST_KEY: gettext_lazy("When the host's key is approved"),
    Code.ALREADY_RUNNING: gettext_lazy("When the upgrade under way ends"),
}


def way_on(code: Code) -> str:
    """What would have to happen for a site that is skipped to be upgraded."""
    return str(WAY_ON.get(code, ""))


def night_words(begins: date, ends: date) -> str:
    """“Night of 22 to 23 November”."""
    return _("Night of %(days)s") % {"days": _days(begins, ends)}


def tonight_words(begins: date, ends: date) -> str:
    """“Tonight, 22 to 23 November”."""
    return _("Tonight, %(days)s") % {"days": _days(begins, ends)}


def _days(begins: date, ends: date) -> str:
    last = date_format(ends, "j F", use_l10n=False)
    if begins == ends:
        return last
    same_month = (begins.year, begins.month) == (ends.year, ends.month)
    first = date_format(begins, "j" if same_month else "j F", use_l10n=False)
    return _("%(first)s to %(last)s") % {"first": first, "last": last}


def run_story(
    state: RunState, *, planned: int, good: int, failed: int, stopped: int, ended: int, late: int, awaiting: int
) -> list[str]:
    """What happened in a run, in full sentences; the first says the most."""
    counts = {
        "planned": planned, "good": good, "failed": failed, "stopped": stopped, "ended": ended, "late": late,
        "awaiting": awaiting,
    }  # fmt: skip
    return [_first_sentence(state, counts), *_more_sentences(counts)]


def _first_sentence(state: RunState, counts: Mapping[str, int]) -> str:
    if state is RunState.MISSED:
        return _("Nothing ran: releasemgr was not running that night. The next night plans every site anew.")
    if state is RunState.SWITCHED_OFF:
        return _("Nothing was planned: the nights were switched off.")
    if not counts["planned"]:
        return _("No site had anything to do.")
    if state is RunState.RUNNING:
        return _("%(ended)d of %(planned)d upgrades have ended.") % counts
    if counts["good"] == counts["planned"]:
        return ngettext("The one upgrade succeeded.", "All %(n)d upgrades succeeded.", counts["good"]) % {
            "n": counts["good"]
        }
    return _("%(good)d of %(planned)d upgrades succeeded.") % counts


def _more_sentences(counts: Mapping[str, int]) -> list[str]:
    said = {
        "failed": ngettext("%(n)d failed.", "%(n)d failed.", counts["failed"]),
        "stopped": ngettext("%(n)d was stopped or cancelled.", "%(n)d were stopped or cancelled.", counts["stopped"]),
        "late": ngettext(
            "%(n)d was not started before the run's time was over.",
            "%(n)d were not started before the run's time was over.",
            counts["late"],
        ),
        "awaiting": ngettext(
            "%(n)d site is locked until a person decides.",
            "%(n)d sites are locked until a person decides.",
            counts["awaiting"],
        ),
    }
    return [words % {"n": counts[name]} for name, words in said.items() if counts[name]]


def left_alone(skipped: int, settled: int) -> str:
    """“2 skipped, 16 with nothing to do”. Empty for no site at all."""
    if skipped and settled:
        return _("%(skipped)d skipped, %(settled)d with nothing to do") % {"skipped": skipped, "settled": settled}
    if skipped:
        return _("%(skipped)d skipped") % {"skipped": skipped}
    return _("%(settled)d with nothing to do") % {"settled": settled} if settled else ""
