"""`manage.py serve` that takes workers for hung after seconds instead of minutes. Its clusters are as ever."""

import os
import sys
from datetime import timedelta

import django
from django.conf import settings
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "releasemgr.settings")
    django.setup()
    from releasemgr.lib import process_supervision, queue
    from releasemgr.lib.heartbeats import services as heartbeats

    queue.MARGIN = timedelta(seconds=4)
    settings.Q_CLUSTER["timeout"] = 8
    heartbeats.LIMIT = timedelta(seconds=12)
    process_supervision.CHECK_EVERY = 1.0
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
