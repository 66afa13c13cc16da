"""Runs, the switch of the nights, and upgrades with their logs."""

from django.urls import path

from upgrades.views import logs, nights, run_actions, runs, upgrades

urlpatterns = [
    path("runs/", runs.run_list, name="runs"),
    path("runs/nights/", nights.nights, name="nights"),
    path("runs/<int:number>/", runs.run_detail, name="run"),
    path("runs/<int:number>/halt/", run_actions.halt, name="run-halt"),
    path("runs/<int:number>/resume/", run_actions.resume, name="run-resume"),
    path("runs/<int:number>/end/", run_actions.end, name="run-end"),
    path("runs/<int:number>/release/", run_actions.release, name="run-release"),
    path("runs/<int:number>/retry/", run_actions.retry, name="run-retry"),
    path("upgrades/<int:number>/", upgrades.upgrade_detail, name="upgrade"),
    path("upgrades/<int:number>/unlock/", upgrades.unlock, name="upgrade-unlock"),
    path("upgrades/<int:number>/log/", logs.news, name="upgrade-log"),
    path("upgrades/<int:number>/raw/", logs.raw, name="upgrade-raw"),
]
