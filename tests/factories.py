"""Makes rows with sensible values; a test names only what it is about."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.utils.text import slugify

from builds.choices import Smoke
from builds.maturity import Maturity, Severity
from builds.models import Build, Problem
from builds.versions import key_of, parse_version, version_key
from instances.choices import Kind
from instances.models import Customer, Host, Instance
from instances.pins import PinEnd
from instances.services import DEFAULT_CHANNEL
from upgrades.choices import RunKind, UpgradeState
from upgrades.models import Policy, Run, Upgrade

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""The noon on which tests live unless they say otherwise."""

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2W0ZtzPfKo9hDkl4mJQq0Y6jYwEJ3pXcQF2o3mC9xR"

_number = itertools.count(1)


def one_wave() -> None:
    """No canaries and no waves: what is planned may begin at once."""
    Policy.objects.update(canary_share=0, wave_sizes="")


def make_user(*, role: str | None = None, **values: Any) -> User:
    """`role` is a name from releasemgr.roles, None for someone without one."""
    username = values.pop("username", None) or f"{slugify(role or 'stranger')}-{next(_number)}"
    user = User.objects.create_user(username, password=values.pop("password", "correct horse"), **values)
    if role:
        User.groups.through.objects.create(user=user, group=Group.objects.get(name=role))
    return user


def make_build(version: str = "", *, maturity: Maturity = Maturity.CANDIDATE, **values: Any) -> Build:
    """A build that passed its smoke tests, with a small artefact that says its version."""
    version = version or f"1.0.{next(_number)}"
    content = values.pop("content", f"{version}\n".encode())
    sha256 = hashlib.sha256(content).hexdigest()
    (settings.ARTIFACT_DIR / sha256).write_bytes(content)
    long_ago = NOW - timedelta(days=60)
    if "withdrawn_at" in values:
        values.setdefault("withdrawn_reason", "Loses attachments.")
    return Build.objects.create(
        **{
            "version": version, "version_key": version_key(parse_version(version)), "sha256": sha256,
            "artifact_size": len(content), "registered_at": long_ago, "channel_since": long_ago,
            "smoke": Smoke.PASSED, "smoke_reported_at": long_ago, "maturity": maturity,
        } | values
    )  # fmt: skip


def make_problem(first_affected: Build | None = None, **values: Any) -> Problem:
    """An open, minor problem of this build and of those after it."""
    return Problem.objects.create(
        **{
            "severity": Severity.MINOR, "title": "Typing error", "first_affected": first_affected or make_build(),
            "opened_at": NOW - timedelta(days=1), "opened_origin": "command",
        } | values
    )  # fmt: skip


def make_customer(name: str = "", **values: Any) -> Customer:
    name = name or f"Customer {next(_number)}"
    return Customer.objects.create(**{"name": name, "slug": slugify(name)} | values)


def make_host(name: str = "", **values: Any) -> Host:
    """A host with an approved key."""
    name = name or f"host-{next(_number)}"
    return Host.objects.create(
        **{
            "name": name, "address": f"{name}.example.net", "host_key": HOST_KEY, "host_key_approved_at": NOW,
        } | values
    )  # fmt: skip


def make_instance(slug: str = "", *, runs: str | None = "1.0", **values: Any) -> Instance:
    """A live site. `runs` is the version that it reported, None where it never did.

    The target is `target_channel_id` or `target_build`, by default what a new site of its kind follows.
    """
    slug = slug or f"site-{next(_number)}"
    kind = values.setdefault("kind", Kind.LIVE)
    if not {"target_channel", "target_channel_id", "target_build"} & values.keys():
        values["target_channel_id"] = DEFAULT_CHANNEL[kind]
    if values.get("target_build"):
        values = {"pin_ends": PinEnd.NEVER.value, "pin_reason": "Needs a fix.", "pin_since": NOW} | values
    if runs is not None:
        values = {"reported_version": runs, "reported_key": key_of(runs), "reported_at": NOW} | values
    customer = values.pop("customer", None) or make_customer()
    host = values.pop("host", None) or make_host()
    return Instance.objects.create(
        **{"slug": slug, "customer": customer, "host": host, "path": f"/srv/{slug}"} | values
    )  # fmt: skip


def make_run(**values: Any) -> Run:
    """A manual run that is under way. With `date` it is that night's."""
    kind = RunKind.NIGHTLY if values.get("date") else RunKind.MANUAL
    return Run.objects.create(
        **{
            "kind": kind, "starts_at": NOW, "ends_at": NOW + timedelta(hours=4), "planned_at": NOW, "origin": "page",
        } | values
    )  # fmt: skip


def make_upgrade(**values: Any) -> Upgrade:
    """A waiting upgrade. With an `outcome` it has ended, with a `state` it is there."""
    instance = values.pop("instance", None) or make_instance()
    build = values.pop("build", None) or make_build()
    if "outcome" in values:
        ended = {"state": UpgradeState.ENDED, "ended_at": NOW, "started_at": NOW, "end_code": "done"}
        values = ended | {"end_values": {"from": instance.reported_version, "to": build.version}} | values
    return Upgrade.objects.create(
        **{
            "run": values.pop("run", None) or make_run(), "instance": instance, "build": build,
            "from_version": instance.reported_version, "recipe": instance.recipe,
            "position": next(_number), "created_at": NOW, "opens_at": NOW,
        } | values
    )  # fmt: skip
