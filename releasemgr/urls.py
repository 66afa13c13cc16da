"""The addresses. Each app's own are in its urls.py."""

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path

from releasemgr import views
from releasemgr.pages import build, builds, hosts, overview, promotion, search, site, sites, upgrade_now, withdrawal

handler403 = "releasemgr.views.not_allowed"

urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in/", views.SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("account/", views.account, name="account"),
    path("account/password/", views.ChangePassword.as_view(), name="change-password"),
    path("account/theme/", views.set_theme, name="set-theme"),
    path("", include("upgrades.urls")),
]
