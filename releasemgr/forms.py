"""What a person sets for themselves."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, UsernameField
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils.translation import gettext_lazy as _

from builds.forms import SeenField
from releasemgr.choices import Theme
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.models import Profile, SavedView
from releasemgr.saved_views import save_view
from upgrades.selection import FilterRefused, canonical, criteria_of, read_query

LONGEST_NAME = 150  # as of every account; failed sign-ins store no longer one


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs alone
    class Meta:
        model = Profile
        fields = ["theme", "single_keys"]
        widgets = {"theme": forms.Select(choices=Theme.choices)}


class ThemeForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs alone
    class Meta:
        model = Profile
        fields = ["theme"]


class SignInForm(AuthenticationForm):
    username = UsernameField(max_length=LONGEST_NAME, widget=forms.TextInput(attrs={"autofocus": True}))
    error_messages = {
        "invalid_login": _("No account has this name and password. Both are case-sensitive."),
        "inactive": _("This account is switched off."),
    }


class PasswordForm(PasswordChangeForm):
    """One form among others on its page, so it does not take the focus."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["old_password"].widget.attrs["autofocus"]


class SavedViewForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs alone
    """A view of the page Sites. `query` is given when it is saved first; it stays when it is renamed."""

    TAKEN = _("You have a view of this name already.")
    seen = SeenField()

    class Meta:
        model = SavedView
        fields = ["name", "shared", "query"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["query"].required = False
        self.fields["seen"].required = bool(self.instance.pk)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = SavedView.objects.filter(owner=self.instance.owner, name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise ValidationError(self.TAKEN)
        return name

    def clean_query(self) -> str:
        text = self.cleaned_data["query"]
        if self.instance.pk and not text:
            return str(self.instance.query)
        values = {name: texts for name, texts in read_query(text).items() if name not in ("sort", "page", "all")}
        try:
            criteria_of(values)
        except FilterRefused as refused:
            raise ValidationError(str(refused)) from refused
        return canonical(values)

    def saved(self, *, actor: Actor, now: datetime) -> bool:
        """Whether it was; else the form has the reason. For a valid form, too: another tab may have been first."""
        if not self.is_valid():
            return False
        try:
            save_view(self.instance, actor=actor, now=now, seen=self.cleaned_data["seen"])
        except IntegrityError:
            self.add_error("name", ValidationError(self.TAKEN))
            return False
        except ChangedMeanwhile as refused:
            self.add_error(None, str(refused))
            return False
        return True
