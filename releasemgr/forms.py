"""What a person sets for themselves."""

from django import forms

from releasemgr.choices import Theme
from releasemgr.models import Profile


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs alone
    class Meta:
        model = Profile
        fields = ["theme", "single_keys"]
        widgets = {"theme": forms.Select(choices=Theme.choices)}


class ThemeForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs alone
    class Meta:
        model = Profile
        fields = ["theme"]
