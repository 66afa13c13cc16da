"""Runs, the switch of the nights, and upgrades with their logs."""

from django.urls import path

from upgrades.views import logs, nights, run_actions, runs, upgrade_acts, upgrades

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
    path("upgrades/<int:number>/cancel/", upgrade_acts.cancel, name="upgrade-cancel"),
    path("upgrades/<int:number>/give-up/", upgrade_acts.abandon, name="upgrade-give-up"),
    path("upgrades/<int:number>/ask/", upgrade_acts.ask, name="upgrade-ask"),
    path("upgrades/<int:number>/go-back/", upgrade_acts.go_back, name="upgrade-go-back"),
    path("upgrades/<int:number>/unlock/", upgrades.unlock, name="upgrade-unlock"),
    path("upgrades/<int:number>/log/", logs.news, name="upgrade-log"),
    path("upgrades/<int:number>/raw/", logs.raw, name="upgrade-raw"),
]
