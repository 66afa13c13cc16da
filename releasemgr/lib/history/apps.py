from django.apps import AppConfig


class HistoryConfig(AppConfig):
    name = "releasemgr.lib.history"
