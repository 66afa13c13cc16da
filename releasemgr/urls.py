"""The addresses. Each app's own are in its urls.py."""

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path

from releasemgr import views
from releasemgr.pages import (
    build,
    builds,
    bulk,
    hosts,
    overview,
    promotion,
    search,
    site,
    site_views,
    sites,
    upgrade_now,
    withdrawal,
)

handler403 = "releasemgr.views.not_allowed"

urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in/", views.SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("account/", views.account, name="account"),
    path("account/password/", views.ChangePassword.as_view(), name="change-password"),
    path("account/theme/", views.set_theme, name="set-theme"),
    path("sites/", sites.sites, name="sites"),
    path("sites.csv", sites.sites_csv, name="sites-csv"),
    path("views/", site_views.saved_views, name="saved-views"),
    path("views/first/", site_views.choose_first_view, name="first-view"),
    path("views/<int:number>/", site_views.saved_view, name="saved-view"),
    path("sites/bulk/undo/<int:first>-<int:last>/", bulk.undo, name="bulk-undo"),
    path("sites/bulk/<slug:name>/", bulk.bulk, name="bulk"),
    path("sites/<slug:slug>/", site.site, name="site"),
    path("sites/<slug:slug>/target/", site.site_target, name="site-target"),
    path("sites/<slug:slug>/history/", site.site_history, name="site-history"),
    path("sites/<slug:slug>/ask/", site.site_ask, name="site-ask"),
    path("customers/<slug:slug>/", sites.customer, name="customer"),
    path("upgrades/now/", upgrade_now.upgrade_now, name="upgrade-now"),
    path("hosts/", hosts.hosts, name="hosts"),
    path("hosts/<slug:name>/", hosts.host, name="host"),
    path("hosts/<slug:name>/key/", hosts.host_key, name="host-key"),
    path("hosts/<slug:name>/scan/", hosts.host_scan, name="host-scan"),
    path("", include("upgrades.urls")),
    path("", overview.overview, name="overview"),
    path("search/", search.search, name="search"),
    path("builds/", builds.build_list, name="builds"),
    path("builds/<str:version>/", build.build_detail, name="build"),
    path("builds/<str:version>/promote/<str:channel>/", promotion.promote, name="promote"),
    path("builds/<str:version>/withdraw/", withdrawal.withdraw, name="withdraw"),
]
