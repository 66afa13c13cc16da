"""What a person sets for themselves."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, UsernameField
from django.utils.translation import gettext_lazy as _

from releasemgr.choices import Theme
from releasemgr.models import Profile

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
