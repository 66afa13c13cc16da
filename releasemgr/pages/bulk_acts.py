"""What can be done to many sites at once: each act with its words, its effect on the night and its verb (T9)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any, ClassVar, Generic, TypeVar

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from instances.exceptions import DowngradeRefused, TargetRefused
from instances.models import Hold, Instance, Target
from instances.sentences import target_words
from instances.services import (
    Undo,
    change_tags,
    check_target,
    complete_target,
    end_holds,
    open_holds,
    set_targets,
    take_back,
)
from instances.services.input import refuse, span_faults
from instances.services.targets import head_of_channel
from instances.windows import Span
from releasemgr.bulk_forms import (
    BulkEndHoldsForm,
    BulkForm,
    BulkHoldForm,
    BulkTagsForm,
    BulkTargetForm,
    UndoForm,
)
from releasemgr.lib.actors import Actor
from releasemgr.lib.words import moment_of
from upgrades.night import Night
from upgrades.services.selections import Change, with_holds, with_tags, with_targets, without_holds

DOWNGRADE = "instances.allow_downgrade"
Form = TypeVar("Form", bound=BulkForm)


@dataclass
class BulkAct(ABC, Generic[Form]):
    """One act on these sites, as a form that says what has it."""

    permission: ClassVar[str]
    button: ClassVar[str | Promise]
    template: ClassVar[str]
    kind: ClassVar[str]
    """Of the changes that it leaves in the history."""
    form_class: ClassVar[type[BulkForm]]

    sites: list[Instance]
    form: Form
    now: datetime
    night: Night

    @staticmethod
    @abstractmethod
    def title(number: int) -> str:
        """The heading, and the button that confirms."""

    def check(self) -> None:
        """Raises InvalidInput where no site could have it."""
        return

    @abstractmethod
    def change(self) -> Change: ...

    @abstractmethod
    def carry_out(self, actor: Actor, reason: str, seen: Mapping[int, int]) -> None: ...

    @abstractmethod
    def receipt(self, number: int) -> str:
        """What was done."""

    @staticmethod
    def undo_words(number: int) -> str:
        raise NotImplementedError

    @cached_property
    def refusals(self) -> Mapping[int, str]:
        """Why sites may not be changed, by their id."""
        return {}

    @cached_property
    def settled(self) -> Mapping[int, str]:
        """Why sites need not be changed, by their id."""
        return {}

    @property
    def sentence(self) -> str:
        """What it means beside tonight's upgrades."""
        return ""


class TargetAct(BulkAct[BulkTargetForm]):
    permission = "instances.change_target"
    button = gettext_lazy("Change target…")
    template = "instances/_bulk_target.html"
    kind = "target.changed"
    form_class = BulkTargetForm

    @staticmethod
    def title(number: int) -> str:
        return ngettext("Change the target of %d site", "Change the target of %d sites", number) % number

    @cached_property
    def target(self) -> Target:
        return self.form.chosen()

    @property
    def consents(self) -> bool:
        """Whether going back to an older version was agreed to (T4)."""
        return bool(self.form.cleaned_data.get("downgrade")) and self.target.build is not None

    @cached_property
    def going_back(self) -> list[Instance]:
        """The sites that run something newer than the pin (T4)."""
        build = self.target.build
        return [site for site in self.sites if build and site.is_downgrade(build)]

    def change(self) -> Change:
        consents = [site.pk for site in self.going_back if self.consents or site.may_downgrade]
        return with_targets(dict.fromkeys([site.pk for site in self.sites], self.target), consents)

    @cached_property
    def refusals(self) -> Mapping[int, str]:
        head_of, found = cache(head_of_channel), {}
        for site in self.sites:
            try:
                check_target(site, self.target, downgrade=self.consents, now=self.now, head_of=head_of)
            except DowngradeRefused as refused:
                found[site.pk] = f"{refused} {_('Allow it above, or leave the site out.')}"
            except TargetRefused as refused:
                found[site.pk] = str(refused)
        return found

    @cached_property
    def settled(self) -> Mapping[int, str]:
        consented = {site.pk for site in self.going_back if self.consents and not site.may_downgrade}
        same = [site for site in self.sites if complete_target(site, self.target) == site.target]
        return {site.pk: _("Has this target already.") for site in same if site.pk not in consented}

    @property
    def sentence(self) -> str:
        if self.target.channel:
            return _("Later they follow every new build of %(channel)s.") % {"channel": self.target.channel}
        if self.target.until:
            until = {"until": moment_of(self.target.until, self.now)}
            return _("The pin ends at %(until)s UTC, and each site follows its channel again.") % until
        if self.form.cleaned_data["ends"] == "caught_up":
            return _("Each site follows its channel again as soon as that has caught up.")
        return _("They stay on that version until someone changes the target.")

    def carry_out(self, actor: Actor, reason: str, seen: Mapping[int, int]) -> None:
        set_targets(
            self.sites, self.target, actor=actor, now=self.now, reason=reason, seen=seen, downgrade=self.consents
        )

    def receipt(self, number: int) -> str:
        words = ngettext(
            "The target of %(n)d site is %(target)s now.", "The target of %(n)d sites is %(target)s now.", number
        )
        return words % {"n": number, "target": target_words(self.target)}

    @staticmethod
    def undo_words(number: int) -> str:
        words = ngettext(
            "Undo: give the site its target back", "Undo: give each of the %d sites its target back", number
        )
        return _counted(words, number)


class HoldAct(BulkAct[BulkHoldForm]):
    permission = "instances.hold_site"
    button = gettext_lazy("Hold…")
    template = "instances/_bulk_hold.html"
    kind = "hold.opened"
    form_class = BulkHoldForm

    @staticmethod
    def title(number: int) -> str:
        return ngettext("Hold %d site", "Hold %d sites", number) % number

    @property
    def span(self) -> Span:
        said = self.form.cleaned_data
        return Span(max(said["begins"] or self.now, self.now), said["until"])

    def check(self) -> None:
        refuse(span_faults(self.span.starts_at, self.span.ends_at, self.now))

    def change(self) -> Change:
        return with_holds({site.pk: [self.span] for site in self.sites}, "")

    @property
    def sentence(self) -> str:
        values = {"begins": moment_of(self.span.starts_at, self.now), "until": moment_of(self.span.ends_at, self.now)}
        return _("From %(begins)s until %(until)s UTC. What runs when it begins finishes.") % values

    def carry_out(self, actor: Actor, reason: str, seen: Mapping[int, int]) -> None:
        said = self.form.cleaned_data
        open_holds(
            self.sites, ends_at=said["until"], starts_at=said["begins"], reason=reason, actor=actor, now=self.now,
            seen=seen,
        )  # fmt: skip

    def receipt(self, number: int) -> str:
        words = ngettext(
            "%(n)d site is on hold until %(until)s UTC.", "%(n)d sites are on hold until %(until)s UTC.", number
        )
        return words % {"n": number, "until": moment_of(self.span.ends_at, self.now)}

    @staticmethod
    def undo_words(number: int) -> str:
        return _counted(ngettext("Undo: end this hold", "Undo: end these %d holds", number), number)


class EndHoldsAct(BulkAct[BulkEndHoldsForm]):
    permission = "instances.hold_site"
    button = gettext_lazy("End holds…")
    template = ""
    kind = "hold.ended"
    form_class = BulkEndHoldsForm

    @staticmethod
    def title(number: int) -> str:
        return ngettext("End the holds of %d site", "End the holds of %d sites", number) % number

    def change(self) -> Change:
        return without_holds()

    @cached_property
    def settled(self) -> Mapping[int, str]:
        held = set(
            Hold.objects.not_over(self.now).filter(instance__in=self.sites).values_list("instance_id", flat=True)
        )
        return {site.pk: _("Is not on hold.") for site in self.sites if site.pk not in held}

    def carry_out(self, actor: Actor, reason: str, seen: Mapping[int, int]) -> None:
        end_holds(self.sites, actor=actor, now=self.now, reason=reason, seen=seen)

    def receipt(self, number: int) -> str:
        return ngettext("The holds of %d site are over.", "The holds of %d sites are over.", number) % number

    @staticmethod
    def undo_words(number: int) -> str:
        return _counted(ngettext("Undo: hold it again", "Undo: hold these %d sites again", number), number)


class TagsAct(BulkAct[BulkTagsForm]):
    permission = "instances.change_instance"
    button = gettext_lazy("Tags…")
    template = "instances/_bulk_tags.html"
    kind = "tags.changed"
    form_class = BulkTagsForm

    @staticmethod
    def title(number: int) -> str:
        return ngettext("Change the tags of %d site", "Change the tags of %d sites", number) % number

    @cached_property
    def difference(self) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
        """What each site gains and loses, by its id. One query."""
        said = self.form.cleaned_data
        links = Instance.tags.through.objects.filter(instance__in=self.sites).values_list("instance_id", "tag__name")
        has: dict[int, set[str]] = {site.pk: set() for site in self.sites}
        for site, name in links:
            has[site].add(name)
        gained = {pk: set(said["add"]) - names for pk, names in has.items()}
        return gained, {pk: set(said["remove"]) & names for pk, names in has.items()}

    def change(self) -> Change:
        gained, lost = self.difference
        return with_tags(gained, lost, self.night)

    @cached_property
    def settled(self) -> Mapping[int, str]:
        gained, lost = self.difference
        return {site.pk: _("Has these tags already.") for site in self.sites if not gained[site.pk] | lost[site.pk]}

    @property
    def sentence(self) -> str:
        return _("Freezes of a tag, and canaries, follow it from now on.")

    def carry_out(self, actor: Actor, reason: str, seen: Mapping[int, int]) -> None:
        said = self.form.cleaned_data
        change_tags(
            self.sites, add=said["add"], remove=said["remove"], actor=actor, now=self.now, reason=reason, seen=seen
        )

    def receipt(self, number: int) -> str:
        return ngettext("The tags of %d site are changed.", "The tags of %d sites are changed.", number) % number

    @staticmethod
    def undo_words(number: int) -> str:
        words = ngettext("Undo: give the site its tags back", "Undo: give each of the %d sites its tags back", number)
        return _counted(words, number)


def _counted(words: str, number: int) -> str:
    """For words that name the number only where it is more than one."""
    return words if number == 1 else words % number


@dataclass
class UndoAct(BulkAct[UndoForm]):
    """Takes another act back (T9)."""

    template = ""
    button = ""
    kind = ""
    permission = ""
    form_class = UndoForm

    undo: Undo

    @staticmethod
    def title(number: int) -> str:
        return ngettext("Take it back for %d site", "Take it back for %d sites", number) % number

    @property
    def of(self) -> type[BulkAct[Any]]:
        return next(act for act in ACTS.values() if act.kind == self.undo.kind)

    def named(self, number: int) -> str:
        words = {
            "target.changed": ngettext("Give %d site its target back", "Give %d sites their target back", number),
            "hold.opened": ngettext("End the hold of %d site", "End the holds of %d sites", number),
            "hold.ended": ngettext("Hold %d site again", "Hold %d sites again", number),
            "tags.changed": ngettext("Give %d site its tags back", "Give %d sites their tags back", number),
        }
        return words[self.undo.kind] % number

    def change(self) -> Change:
        match self.undo.kind:
            case "target.changed":
                consents = [aim.site.pk for aim in self._aims if aim.downgrade]
                return with_targets({aim.site.pk: aim.target for aim in self._aims}, consents)
            case "hold.opened":
                return without_holds({hold.pk for hold in self.undo.holds()})
            case "hold.ended":
                return with_holds(self.undo.spans(), "")
            case _:
                return with_tags(*self.undo.tags(), self.night)

    @property
    def consents_to_older(self) -> bool:
        """Whether consent to a downgrade comes back with it, which needs a permission of its own (T4)."""
        return any(aim.downgrade for aim in self._aims)

    @cached_property
    def _aims(self) -> list[Any]:
        return self.undo.aims() if self.undo.kind == "target.changed" else []

    @cached_property
    def refusals(self) -> Mapping[int, str]:
        head_of, found = cache(head_of_channel), {}
        for aim in self._aims:
            try:
                check_target(aim.site, aim.target, downgrade=aim.downgrade, now=self.now, head_of=head_of)
            except TargetRefused as refused:
                found[aim.site.pk] = str(refused)
        return found

    def carry_out(self, actor: Actor, reason: str, seen: Mapping[int, int]) -> None:
        take_back(self.undo, self.sites, actor=actor, now=self.now, reason=reason or _("Taken back."), seen=seen)

    def receipt(self, number: int) -> str:
        words = {
            "target.changed": ngettext("%d site has its target back.", "%d sites have their target back.", number),
            "hold.opened": ngettext("The hold of %d site is over.", "The holds of %d sites are over.", number),
            "hold.ended": ngettext("%d site is on hold again.", "%d sites are on hold again.", number),
            "tags.changed": ngettext("%d site has its tags back.", "%d sites have their tags back.", number),
        }
        return words[self.undo.kind] % number


ACTS: dict[str, type[BulkAct[Any]]] = {
    "target": TargetAct, "hold": HoldAct, "end-holds": EndHoldsAct, "tags": TagsAct,
}  # fmt: skip


@dataclass(frozen=True)
class Button:
    """One of the bar above a selection of rows."""

    label: str | Promise
    url: str


UPGRADE = "upgrades.start_upgrade"


def buttons_for(request: HttpRequest) -> list[Button]:
    """What the person may do with a selection, in the bar's order."""
    buttons = [
        Button(act.button, reverse("bulk", args=[name]))
        for name, act in ACTS.items()
        if request.user.has_perm(act.permission)
    ]
    if request.user.has_perm(HoldAct.permission):
        skip = Button(gettext_lazy("Skip tonight…"), reverse("bulk", args=["skip"]))
        buttons.insert(2, skip)
    if request.user.has_perm(UPGRADE):
        buttons.append(Button(gettext_lazy("Upgrade now…"), reverse("upgrade-now")))
    return buttons
