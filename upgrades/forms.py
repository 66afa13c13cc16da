"""What a person writes about an upgrade."""

from django import forms
from django.utils.translation import gettext_lazy as _


class UnlockForm(forms.Form):
    note = forms.CharField(
        label=_("What you found on the site"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("It stays with this upgrade, with your name."),
    )
