"""Runs and upgrades in words, for templates."""

from datetime import timedelta

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from releasemgr.lib import clock, words
from releasemgr.lib.components import Part
from releasemgr.templatetags import ui
from releasemgr.templatetags.ui import when
from upgrades import run_words, sentences
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Run, Upgrade

register = template.Library()
register.filter("run_name", run_words.night_name)
register.simple_tag(run_words.numbered, name="run_crumb")


@register.filter
def run_took(run: Run) -> timedelta:
    """Until now while it runs."""
    return (run.ended_at or clock.now()) - run.starts_at


@register.simple_tag
def run_parts(run: Run) -> list[Part]:
    """Of a run from RunQuerySet.for_list()."""
    counts = [
        (Outcome.SUCCEEDED, "succeeded", _("succeeded")),
        (Outcome.BLOCKED, "failed", _("failed")),
        (Outcome.CANCELLED, "stopped", _("stopped")),
        (Outcome.NOT_STARTED, "untouched", _("not touched")),
    ]
    parts = [Part(look.colour, getattr(run, name), label) for look, name, label in counts]
    return [*parts, Part(UpgradeState.RUNNING.colour, getattr(run, "active", 0), _("under way or waiting"))]


@register.simple_tag
def run_times(run: Run) -> SafeString:
    """From when to when, how long, and who started it."""
    begun = format_html(_("Started {}"), when(run.starts_at))
    if run.missed or run.switched_off:
        return format_html(_("Should have started {}."), when(run.starts_at))
    if run.ended_at:
        begun = format_html(
            _("{} to {}, {}"), when(run.starts_at), when(run.ended_at), words.took(run.ended_at - run.starts_at)
        )
    user = run.requested_by
    return format_html(_("{} by {}."), begun, user.get_full_name() or user.username) if user else _dot(begun)


def _dot(text: SafeString) -> SafeString:
    return format_html("{}.", text)


@register.simple_tag
def result(upgrade: Upgrade) -> SafeString:
    """Its outcome with the step that decided it, or its state."""
    look = upgrade.status
    said = sentences.result_words(look, upgrade.end_values) if isinstance(look, Outcome) else str(look.label)
    return ui.state(look, said, "wrap")


@register.simple_tag
def first_error(upgrade: Upgrade) -> str:
    """The first error line of its log, or what happened where nothing was printed."""
    if upgrade.first_error or not upgrade.outcome:
        return str(upgrade.first_error)
    return sentences.end_words(EndCode(upgrade.end_code), upgrade.end_values)


@register.simple_tag
def upgrade_times(upgrade: Upgrade) -> SafeString:
    """Its number, its host, when, how long, and its run."""
    run = format_html('<a href="{}">{}</a>', upgrade.run.get_absolute_url(), _("Run #%d") % upgrade.run_id)
    host = upgrade.instance.host.name
    if upgrade.started_at is None:
        return format_html(_("Upgrade {} on {}, not begun. {}."), upgrade.pk, host, run)
    if upgrade.ended_at is None:
        return format_html(_("Upgrade {} on {}, started {}. {}."), upgrade.pk, host, when(upgrade.started_at), run)
    return format_html(
        _("Upgrade {} on {}, {} to {}, {}. {}."),
        upgrade.pk,
        host,
        when(upgrade.started_at),
        when(upgrade.ended_at, "time"),
        words.took(upgrade.ended_at - upgrade.started_at),
        run,
    )
