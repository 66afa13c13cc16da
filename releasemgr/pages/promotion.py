"""Promotion and demotion: the page is the confirmation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from builds.exceptions import BuildError
from builds.forms import MoveForm, OverrideForm
from builds.maturity import Judgement, Maturity, Override
from builds.models import Build
from builds.services import judge_promotion
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.effects import change_seen, differing, rows_of, shown_rows
from releasemgr.pages.found import build_or_404, maturity_or_404
from releasemgr.pages.gate_lines import gate_lines
from releasemgr.pages.meanwhile import meanwhile_words
from releasemgr.pages.problems import ACKNOWLEDGE
from releasemgr.pages.release_notes import Note, ReleaseNotes, release_notes
from releasemgr.roles import roles_with
from upgrades.exceptions import PlanChanged
from upgrades.night import Night
from upgrades.services.exposure import exposure_of
from upgrades.services.planning import MovePreview, next_night, preview_move
from upgrades.services.promotions import promote_as_shown

NOTES_SHOWN, NOTES_OPEN = 20, 3
PERMISSION, OVERRIDE = "builds.promote_build", "builds.override_gate"
REFUSED, INVALID = 409, 422


@dataclass(frozen=True)
class Move:
    """A build on its way to another channel, up or back."""

    build: Build
    to: Maturity
    now: datetime

    @property
    def demotes(self) -> bool:
        return self.to < self.build.stage

    @property
    def name(self) -> str:
        return self.to.name.lower()

    @property
    def title(self) -> str:
        text = _("Move %(version)s back to %(channel)s") if self.demotes else _("Promote %(version)s to %(channel)s")
        return text % {"version": self.build.version, "channel": self.name}


@require_http_methods(["GET", "HEAD", "POST"])
@needs("builds.view_build")
def promote(request: HttpRequest, version: str, channel: str) -> HttpResponse:
    move = Move(build_or_404(version), maturity_or_404(channel), clock.now())
    if move.build.stage == move.to:
        messages.info(request, _is_there_already(move))
        return redirect(move.build)
    if request.method != "POST":
        return _page(request, move)
    check(request, PERMISSION)
    if "keys" in request.POST:
        check(request, OVERRIDE)
        return _promote(request, move, OverrideForm(request.POST, build=move.build))
    return _promote(request, move, MoveForm(request.POST, demotes=move.demotes))


def _promote(request: HttpRequest, move: Move, form: MoveForm | OverrideForm) -> HttpResponse:
    """Does what the page showed or nothing; then the page comes again, with what differs marked."""
    if not form.is_valid():
        return _page(request, move, form=form, shown=form.cleaned_data.get("shown"), status=INVALID)
    said = form.cleaned_data
    override = Override(form.gates(), said["reason"]) if isinstance(form, OverrideForm) else None
    try:
        promotion, preview = promote_as_shown(
            move.build, move.to, seen=said["seen"], actor=Actor(Origin.PAGE, person(request)), now=move.now,
            reason=said["reason"], override=override, last_change=said["last_change"],
        )  # fmt: skip
    except (PlanChanged, BuildError) as refused:
        return _page(request, move, form=form, shown=said["shown"], refusal=str(refused), status=REFUSED)
    except ChangedMeanwhile as refused:
        words = meanwhile_words(refused, move.now)
        return _page(request, move, form=form, shown=said["shown"], refusal=words, status=REFUSED)
    messages.success(request, _done(move, preview) if promotion else _is_there_already(move))
    return redirect(move.build)


def _is_there_already(move: Move) -> str:
    return _("%(version)s is in %(channel)s already.") % {"version": move.build.version, "channel": move.name}


def _done(move: Move, preview: MovePreview) -> str:
    values = {"version": move.build.version, "channel": move.name, "n": len(preview.upgrading)}
    if move.demotes or not preview.upgrading:
        return _("%(version)s is in %(channel)s now. It moves no site tonight.") % values
    return (
        ngettext(
            "%(version)s is in %(channel)s now. Tonight %(n)d site upgrades because of it.",
            "%(version)s is in %(channel)s now. Tonight %(n)d sites upgrade because of it.",
            len(preview.upgrading),
        )
        % values
    )


def _page(
    request: HttpRequest, move: Move, *, form: MoveForm | OverrideForm | None = None,
    shown: Mapping[str, str] | None = None, refusal: str = "", status: int = 200,
) -> HttpResponse:  # fmt: skip
    """With `shown`, what a person saw before, the rows that differ are marked."""
    night = next_night(move.now)
    judgement = judge_promotion(move.build, move.to, now=move.now) if not move.demotes else None
    blocked = judgement is not None and not judgement.allowed
    preview = preview_move(move.build, move.to, night, now=move.now)
    context = {
        "move": move,
        "build": move.build,
        "night": night,
        "now": move.now,
        "preview": preview,
        "upgrading": rows_of(preview.upgrading, shown),
        "staying": rows_of(preview.waiting, shown),
        "refusal": refusal,
        "sub": _sub(move, preview, night),
        "verb": _verb(move, preview),
        "who_may": roles_with(PERMISSION)[0],
        "may": request.user.has_perm(PERMISSION),
        "exposure": exposure_of(move.build, move.now),
        "changes": _brings(move, preview),
        "open": NOTES_OPEN,
        "other_channels": [stage.name.lower() for stage in Maturity if move.demotes and stage < move.build.stage],
    }
    context |= differing(preview, shown)
    if judgement:
        context |= _gates(request, judgement, move, form)
    if judgement and blocked:
        context |= _override(request, judgement, move, preview, form)
        return render(request, "builds/promotion_blocked.html", context, status=status)
    context["form"] = _form_for(preview, move, form)
    return render(request, "builds/promotion.html", context, status=status)


def _brings(move: Move, preview: MovePreview) -> ReleaseNotes:
    """What its channel gets: of every build after the one that is there. Its own where none is, or a newer one."""
    there = preview.replaces
    if there is None or there.key >= move.build.version_key:
        return ReleaseNotes([Note(move.build)], 1, going_back=False)
    return release_notes(there.key, move.build.version_key, limit=NOTES_SHOWN)


def _gates(
    request: HttpRequest, judgement: Judgement, move: Move, sent: MoveForm | OverrideForm | None
) -> dict[str, Any]:
    seen = sent.gates() if isinstance(sent, OverrideForm) else None
    lines = gate_lines(judgement, move.now, seen=seen, acknowledges=request.user.has_perm(ACKNOWLEDGE))
    return {"judgement": judgement, "gates": lines, "passed": sum(gate.passed for gate in judgement.gates)}


def _shown_now(preview: MovePreview, move: Move, sent: MoveForm | OverrideForm | None) -> dict[str, Any]:
    """What a form carries, so that it acts on what its reader saw (P1, T7)."""
    return {
        "seen": preview.fingerprint,
        "shown": shown_rows(preview),
        "last_change": change_seen(sent, move.build),
    }


def _form_for(preview: MovePreview, move: Move, sent: MoveForm | OverrideForm | None) -> MoveForm:
    """The form for what is shown now, with what was written into the one that came."""
    initial = _shown_now(preview, move, sent)
    if sent is not None:
        initial["reason"] = sent.data.get("reason", "")
    form = MoveForm(initial=initial, demotes=move.demotes)
    if sent is not None and "reason" in sent.errors:
        form.fields["reason"].help_text = " ".join(str(error) for error in sent.errors["reason"])
        form.fields["reason"].widget.attrs |= {"aria-invalid": "true", "aria-describedby": "reason-error"}
    form.fields["reason"].widget.attrs["class"] = "form-control"
    return form


def _override(
    request: HttpRequest, judgement: Judgement, move: Move, preview: MovePreview, sent: MoveForm | OverrideForm | None
) -> dict[str, Any]:
    """The folded section that promotes through what fails now (R8). The version is typed anew for what is new."""
    values = {"channel": move.name, "n": len(judgement.failing)}
    verb = ngettext(
        "Override %(n)d gate and promote to %(channel)s",
        "Override %(n)d gates and promote to %(channel)s",
        len(judgement.failing),
    )
    shown = _shown_now(preview, move, sent) | {"keys": " ".join(sorted(judgement.keys))}
    form = OverrideForm(initial=shown, build=move.build)
    if isinstance(sent, OverrideForm):
        form.initial["reason"] = sent.data.get("reason", "")
        if sent.errors:
            data = {**dict(sent.data.items()), **shown, "shown": json.dumps(shown["shown"])}
            form = OverrideForm(data, build=move.build)
    return {
        "override_form": form,
        "override_verb": verb % values,
        "earliest": max((gate.ends_at for gate in judgement.failing if gate.ends_at), default=None),
        "may_override": request.user.has_perm(OVERRIDE),
        "who_may_override": roles_with(OVERRIDE)[0],
        "override_open": isinstance(sent, OverrideForm),
        "never": [
            line.title for line in gate_lines(judgement, move.now) if not (line.gate.passed or line.gate.overridable)
        ],
    }


def _sub(move: Move, preview: MovePreview, night: Night) -> str:
    """What it replaces, and when something happens."""
    if move.demotes:
        return _("Going back moves no site. Sites on it stay until their target means something newer.")
    values = {"channel": move.name, "old": preview.replaces.version if preview.replaces else ""}
    begins = _("Nothing is upgraded now: tonight’s run does it, from %(time)s UTC.") % {
        "time": f"{night.starts_at.astimezone(UTC):%H:%M}"
    }
    if preview.replaces is None:
        return f"{_('No build is %(channel)s yet.') % values} {begins}"
    if preview.replaces.key > move.build.version_key:
        return _("%(old)s stays %(channel)s, because it is newer. This changes no site.") % values
    return f"{_('Replaces %(old)s as %(channel)s.') % values} {begins}"


def _verb(move: Move, preview: MovePreview) -> str:
    """What the button does, in its own words."""
    values = {"channel": move.name, "n": len(preview.upgrading)}
    if move.demotes:
        return _("Move back to %(channel)s") % values
    if not preview.upgrading:
        return _("Promote to %(channel)s, upgrade no site tonight") % values
    return (
        ngettext(
            "Promote to %(channel)s, upgrade %(n)d site tonight",
            "Promote to %(channel)s, upgrade %(n)d sites tonight",
            len(preview.upgrading),
        )
        % values
    )
