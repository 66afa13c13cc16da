"""The list of runs."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from django_tables2 import Column, TemplateColumn

from releasemgr.lib.tables import Table


class RunTable(Table):
    """Of Run.objects.for_list()."""

    caption = _("Runs, newest first")
    region = "runs"

    name = TemplateColumn(
        template_name="upgrades/_run_name.html", verbose_name=_("Run"), orderable=False, attrs={"td": {"class": "l1"}}
    )
    number = Column(_("Number"), accessor="pk", order_by="pk", attrs={"td": {"class": "muted"}})
    state = TemplateColumn(
        template_name="upgrades/_run_state.html", verbose_name=_("State"), orderable=False,
        attrs={"td": {"class": "full"}},
    )  # fmt: skip
    result = TemplateColumn(
        template_name="upgrades/_run_bar.html", verbose_name=_("Upgrades"), orderable=False,
        attrs={"td": {"class": "full run-bar"}},
    )  # fmt: skip
    starts_at = TemplateColumn(
        template_name="upgrades/_run_start.html", verbose_name=_("Started"), order_by="starts_at",
        attrs={"td": {"class": "muted nowrap"}},
    )  # fmt: skip
    took = TemplateColumn(
        template_name="upgrades/_run_took.html", verbose_name=_("Took"), orderable=False,
        attrs={"td": {"class": "muted nowrap"}},
    )  # fmt: skip
    who = TemplateColumn(
        template_name="upgrades/_run_who.html", verbose_name=_("Started by"), orderable=False,
        attrs={"td": {"class": "muted"}},
    )  # fmt: skip

    class Meta:
        order_by = "-starts_at"
        sequence: tuple[Any, ...] = ("name", "number", "state", "result", "starts_at", "took", "who")
