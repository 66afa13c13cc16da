"""Runs, tonight, and upgrades with their logs."""

from django.urls import path

from upgrades.views import logs, runs, tonight, upgrades

urlpatterns = [
    path("runs/", runs.run_list, name="runs"),
    path("runs/tonight/", tonight.tonight, name="tonight"),
    path("runs/<int:number>/", runs.run_detail, name="run"),
    path("upgrades/<int:number>/", upgrades.upgrade_detail, name="upgrade"),
    path("upgrades/<int:number>/unlock/", upgrades.unlock, name="upgrade-unlock"),
    path("upgrades/<int:number>/log/", logs.news, name="upgrade-log"),
    path("upgrades/<int:number>/raw/", logs.raw, name="upgrade-raw"),
]
