"""The form of Schedule and waves: when nights run, when sites are open, who goes first, and what halts a night."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.exceptions import InvalidInput
from instances.services import read_windows
from instances.window_text import format_window
from instances.windows import Window
from upgrades.models import Policy, Schedule
from upgrades.services.policy import POLICY_FIELDS, SCHEDULE_FIELDS, Seen

CLOCK = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg] # not subscriptable when it runs
    """The policy's own fields, with the schedule and the default windows. `seen` names what the page showed (T7)."""

    start = forms.TimeField(label=gettext_lazy("Nights start at"), widget=CLOCK)
    end = forms.TimeField(
        label=gettext_lazy("and end at"), widget=CLOCK,
        help_text=gettext_lazy("Nothing begins from then on; what runs finishes. Before the start: on the next day."),
    )  # fmt: skip
    windows = forms.CharField(
        label=gettext_lazy("Default windows"), required=False, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        help_text=gettext_lazy(
            "One a line, such as “Mon-Fri 01:00-04:00 Europe/Dublin”. For sites without windows of their own. "
            "Empty: such sites may be upgraded at any time of the night."
        ),
    )  # fmt: skip
    reason = forms.CharField(
        label=gettext_lazy("Reason (optional, shown in the history)"), required=False, max_length=500
    )
    seen = forms.RegexField(r"\A[0-9]{1,18}(,[0-9]{1,18}){2}\Z", widget=forms.HiddenInput, required=False)

    class Meta:
        model = Policy
        fields = POLICY_FIELDS

    def __init__(self, *args: Any, schedule: Schedule, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schedule = schedule
        self.chosen_windows: tuple[Window, ...] = ()

    def clean_windows(self) -> str:
        text: str = self.cleaned_data["windows"]
        try:
            self.chosen_windows = read_windows(text)
        except InvalidInput as refused:
            raise forms.ValidationError(list(refused.errors["window"])) from refused
        return text

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        start, end = found.get("start"), found.get("end")
        if start and start == end:
            self.add_error("end", _("A night ends at another time than it starts."))
        for name in SCHEDULE_FIELDS:
            setattr(self.schedule, name, found.get(name) or getattr(self.schedule, name))
        return found

    def refuse(self, errors: Any) -> None:
        """Puts each sentence of a refusal beside its field."""
        for name, sentences in errors.items():
            field = {"window": "windows"}.get(name, name)
            self.add_error(field if field in self.fields else None, list(sentences))

    @property
    def policy_values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in POLICY_FIELDS}

    @property
    def schedule_values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SCHEDULE_FIELDS}

    @property
    def seen_changes(self) -> Seen | None:
        """None where the form came without."""
        text = self.cleaned_data["seen"]
        return Seen(*map(int, text.split(","))) if text else None


def initial_of(schedule: Schedule, windows: tuple[Window, ...], seen: Seen) -> dict[str, Any]:
    return {
        "start": schedule.start, "end": schedule.end, "windows": "\n".join(map(format_window, windows)),
        "seen": f"{seen.policy},{seen.schedule},{seen.windows}",
    }  # fmt: skip
