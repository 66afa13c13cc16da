"""Sign-in, the account page and the page for what is not allowed."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import Permission, User
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from releasemgr.forms import PasswordForm, ProfileForm, SignInForm, ThemeForm
from releasemgr.lib.permission import NotAllowed, person
from releasemgr.models import profile_of
from releasemgr.roles import roles_with

PEOPLE_NAMED = 5


class SignIn(LoginView):
    template_name = "releasemgr/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True


class ChangePassword(PasswordChangeView):
    template_name = "releasemgr/account.html"
    success_url = reverse_lazy("account")
    form_class = PasswordForm

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, _("The password is changed. Other sessions of yours were signed out."))
        return super().form_valid(form)

    def form_invalid(self, form: PasswordChangeForm) -> HttpResponse:
        return _account_page(self.request, password_form=form)


@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=profile_of(person(request)))
    if not form.is_valid():
        return _account_page(request, form=form)
    form.save()
    messages.success(request, _("Your settings are saved."))
    return redirect("account")


def _account_page(request: HttpRequest, **forms: Any) -> HttpResponse:
    user = person(request)
    context = {
        "form": ProfileForm(instance=profile_of(user)),
        "password_form": PasswordForm(user),
        "roles": user.groups.values_list("name", flat=True),
    } | forms
    refused = any(form.is_bound for form in forms.values())
    return render(request, "releasemgr/account.html", context, status=422 if refused else 200)


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    form = ThemeForm(request.POST, instance=profile_of(person(request)))
    if not form.is_valid():
        raise BadRequest("unknown theme")
    form.save()
    if getattr(request, "htmx", False):
        return render(request, "components/theme.html")
    return redirect(_page_before(request))


def _page_before(request: HttpRequest) -> str:
    """The page of ours that the form was on, else Overview."""
    referer = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(referer, {request.get_host()}, require_https=request.is_secure())
    return referer if ours else "overview"


def not_allowed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: names the permission, the roles that have it, and people who can do it."""
    if isinstance(exception, NotAllowed) and request.user.is_authenticated:
        missing: dict[str, Any] = _what_is_missing(request.user, exception.permission)
    else:
        missing = {"reason": str(exception)}
    return render(request, "403.html", {"missing": missing}, status=403)


def _what_is_missing(user: User, name: str) -> dict[str, Any]:
    roles = roles_with(name)
    app, codename = name.split(".", 1)
    permission = Permission.objects.get(content_type__app_label=app, codename=codename)
    people = User.objects.filter(groups__name__in=roles, is_active=True).distinct().order_by("username")
    return {
        "permission": permission.name,
        "roles": roles,
        "own_roles": [group.name for group in user.groups.all()],
        "people": [somebody.get_full_name() or somebody.username for somebody in people[:PEOPLE_NAMED]],
    }
