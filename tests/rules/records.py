"""What is kept, and that each change of it has its record in the history (T7)."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Model

from builds.models import Acknowledgement, Build, Channel, Problem
from instances.models import Freeze, Hold, Host, Instance, SiteWindow
from instances.models.fleet import TARGET_FIELDS
from releasemgr.lib.history.models import Change
from upgrades.choices import HaltEnd
from upgrades.models import Policy, RunHalt, Schedule, Upgrade

Key = tuple[str, str, str]
Records = dict[Key, Any]
BUILD = ("maturity", "smoke", "withdrawn_at", "quarantined_at", "stepping_stone", "archived_at")
KEPT: tuple[tuple[type[Model], str, str, tuple[str, ...]], ...] = (
    (Build, "build", "pk", BUILD),
    (Channel, "channel", "pk", ("soak", "automatic")),
    (Problem, "problem", "pk", ("severity", "title", "first_affected_id", "fixed_in_id", "dismissed_at")),
    (Acknowledgement, "problem", "problem_id", ("severity",)),
    (Host, "host", "pk", ("enabled", "max_parallel")),
    (Instance, "instance", "pk", TARGET_FIELDS),
    (Hold, "instance", "instance_id", ("starts_at", "ends_at", "ended_at")),
    (Freeze, "freeze", "pk", ("scope", "starts_at", "ends_at", "repeats", "reason", "ended_at")),
    (Upgrade, "instance", "instance_id", ("decided_at", "retried_at")),
    (Policy, "policy", "pk", ("canary_share", "wave_sizes", "max_parallel", "hold_on_blockers", "nights_off_since")),
    (Schedule, "schedule", "pk", ("start", "end")),
)
"""Each table: what the history calls its subject, by which column it is found, and what of it is changed by people."""


def records() -> Records:
    """Everything that may change only together with a record of it, by subject and row."""
    kept: Records = {}
    for model, subject, by, fields in KEPT:
        for pk, number, *values in model._default_manager.values_list("pk", by, *fields):
            kept[subject, str(number), f"{model.__name__} {pk}"] = values
    windows: dict[int, set[Any]] = defaultdict(set)
    for site, *values in SiteWindow.objects.values_list("instance_id", "weekdays", "start", "end", "zone"):
        windows[site or 0].add(tuple(values))
    for site, found in windows.items():
        kept["instance" if site else "sitewindow", str(site), "windows"] = found
    for pk, run, end, released in RunHalt.objects.values_list("pk", "run_id", "end", "released_at"):
        kept["run", str(run), f"halt {pk}"] = (end if end != HaltEnd.RUN_OVER else "", released)
    return kept


def assert_recorded(before: Records, after: Records, changes: Iterable[Change]) -> None:
    """Each row that differs has a record of its subject, and no act is recorded twice."""
    new = list(changes)
    subjects = {(one.subject_type, one.subject_id) for one in new}
    overridden = any(one.kind == "build.promoted" and "overridden" in one.after for one in new)
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key) and not _is_new_and_plain(key, before, after):
            accepted = overridden and key[2].startswith("Acknowledgement")
            assert accepted or key[:2] in subjects, f"{key} changed without a record"
    once = Counter((one.kind, one.subject_type, one.subject_id) for one in new if not one.kind.startswith("hold."))
    assert not [act for act, times in once.items() if times > 1]


def _is_new_and_plain(key: Key, before: Records, after: Records) -> bool:
    """An upgrade that was just planned, about which nobody has decided anything."""
    return key not in before and key[2].startswith("Upgrade") and after[key] == [None, None]
