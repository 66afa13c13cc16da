"""Brings customers, hosts and sites of a fleet file into the database: all of them or none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model

from builds.choices import ChannelName
from builds.exceptions import BuildError
from builds.services import build_named
from instances.choices import Kind
from instances.exceptions import FleetInvalid, InvalidInput, TargetRefused
from instances.fleet_files import Entry, FleetFile, read_fleet
from instances.host_keys import key_bytes
from instances.models import Customer, Host, Instance, Tag, Target
from instances.services import check_target, default_target, read_windows, record_target, set_target
from instances.services.fleet import WORDS, all_of, tags_named
from instances.services.input import check_row
from instances.services.windows import put_windows
from instances.window_text import format_windows
from instances.windows import Window
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import change_of, difference, record_all, values_of

REASON = "Imported."
AnyModel = TypeVar("AnyModel", bound=Model)


class Fate(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass
class FleetReport:
    """What an import did: the names of the rows by their fate."""

    customers: dict[str, Fate] = field(default_factory=dict)
    hosts: dict[str, Fate] = field(default_factory=dict)
    sites: dict[str, Fate] = field(default_factory=dict)
    pinned_keys: list[str] = field(default_factory=list)
    kept_targets: list[str] = field(default_factory=list)


def import_fleet(path: Path, *, actor: Actor, now: datetime) -> FleetReport:
    """Creates what is new, changes what differs, and leaves alone what the file does not name.

    A target that someone set is never overwritten, a pinned host key never replaced. Raises FleetInvalid with
    every error, and then nothing is changed.
    """
    fleet = read_fleet(path)
    try:
        with transaction.atomic():
            load = _Import(fleet, actor, now)
            load.run()
            if load.errors:
                raise FleetInvalid(load.errors)
            record_all(load.changes)
    except IntegrityError as error:
        raise FleetInvalid(["Somebody else changed the fleet at the same time. Import the file again."]) from error
    return load.report


@dataclass
class _Extras:
    """A site's tags and windows, as far as they are said."""

    tags: list[str] | None = None
    windows: tuple[Window, ...] | None = None

    def plain(self) -> dict[str, Any]:
        """As the history keeps them."""
        plain: dict[str, Any] = {} if self.tags is None else {"tags": self.tags}
        return plain if self.windows is None else plain | {"window": format_windows(self.windows)}

    def other_than(self, before: Mapping[str, Any]) -> _Extras:
        """Only what says something else."""
        said = self.plain()
        return _Extras(
            self.tags if said.get("tags") != before["tags"] else None,
            self.windows if said.get("window") != before["window"] else None,
        )


class _Import:
    """One file on its way in. Rows with errors are not saved; the caller then takes everything back."""

    def __init__(self, fleet: FleetFile, actor: Actor, now: datetime) -> None:
        self.fleet, self.actor, self.now = fleet, actor, now
        self.errors: list[str] = []
        self.report = FleetReport()
        self.changes: list[Change] = []
        self.customers = {row.slug: row for row in Customer.objects.all()}
        self.hosts = {row.name: row for row in Host.objects.select_for_update()}
        self.tags = {row.name: row for row in Tag.objects.all()}
        self.sites = {row.slug: row for row in Instance.objects.for_list().prefetch_related("tags", "windows")}

    def run(self) -> None:
        for entry in self.fleet.customers:
            self._customer(entry)
        for entry in self.fleet.hosts:
            self._host(entry)
        for entry in self.fleet.sites:
            self._site(entry)

    def _customer(self, entry: Entry) -> None:
        slug = str(entry.values["slug"])
        row = self.customers.setdefault(slug, Customer(slug=slug, name=slug))
        self._keep(entry, row, entry.values, self.report.customers, slug)

    def _host(self, entry: Entry) -> None:
        name = str(entry.values["name"])
        row = self.hosts.setdefault(name, Host(name=name))
        values: dict[str, Any] = {key: value for key, value in entry.values.items() if key != "host_key"}
        if "jump" in entry.values:
            values["jump"] = self._named(entry, "jump", self.hosts)
        if "host_key" in entry.values:
            values |= self._key(entry, row, str(entry.values["host_key"]))
        self._keep(entry, row, values, self.report.hosts, name)

    def _key(self, entry: Entry, row: Host, text: str) -> dict[str, Any]:
        """The changes that pin a key to a host that has none (U6)."""
        key = " ".join(text.split()[:2])  # without a comment
        if not _is_key(key):
            self._refuse(entry, "host_key", "is not a public key. It looks like “ssh-ed25519 AAAAC3Nza…”.")
        elif row.host_key and row.host_key != key:
            self._refuse(entry, "host_key", f"{row} has another key pinned. Approve a changed key on its page.")
        elif not row.host_key:
            self.report.pinned_keys.append(row.name)
            offered = "" if row.offered_key == key else row.offered_key
            return {
                "host_key": key, "host_key_approved_at": self.now, "host_key_approved_by": self.actor.user,
                "offered_key": offered, "offered_at": row.offered_at if offered else None,
            }  # fmt: skip
        return {}

    def _site(self, entry: Entry) -> None:
        values: dict[str, Any] = dict(entry.values)
        slug, wish = str(values["slug"]), str(values.pop("target", ""))
        extras = self._extras(entry, str(values.pop("tags", "")), str(values.pop("window", "")))
        values["kind"] = str(values["kind"]).lower()
        values["customer"] = self._named(entry, "customer", self.customers)
        values["host"] = self._named(entry, "host", self.hosts)
        if values["kind"] not in Kind.values:
            self._refuse(entry, "kind", f"“{values['kind']}” is not a kind. It is live or test.")
        if not (values["customer"] and values["host"] and values["kind"] in Kind.values):
            return
        row = self.sites.get(slug)
        target = self._target(entry, row or Instance(slug=slug), wish) if wish else None
        if row is None:
            self._new_site(entry, values, target or default_target(Kind(values["kind"])), extras)
        else:
            self._known_site(entry, row, values, target, extras)

    def _extras(self, entry: Entry, tags: str, window: str) -> _Extras:
        """What a site has beside its row; what the file does not say, or says wrongly, is None."""
        try:
            names = self._tag_names(tags) if tags else None
            windows = read_windows(window) if window else None
        except InvalidInput as refused:
            for key, messages in refused.errors.items():
                for message in messages:
                    self._refuse(entry, key, message)
            return _Extras()
        return _Extras(names, windows)

    def _named(self, entry: Entry, key: str, rows: Mapping[str, AnyModel]) -> AnyModel | None:
        """None, with its error, for a name that is neither in the file nor known; None also for a faulty row."""
        row = rows.get(str(entry.values[key]))
        if row is None:
            self._refuse(entry, key, f"“{entry.values[key]}” is neither in the file nor known.")
        return row if row is not None and row.pk else None

    def _target(self, entry: Entry, row: Instance, wish: str) -> Target | None:
        """A channel by its name, else a pin by its version (T1)."""
        if wish.lower() in ChannelName.values:
            return Target(channel=wish.lower())
        try:
            target = Target(build=build_named(wish))
            check_target(row, target)
        except (BuildError, TargetRefused) as error:
            self._refuse(entry, "target", f"{error} A target is a channel or the version of a build.")
            return None
        return target

    def _tag_names(self, text: str) -> list[str]:
        """In order, each once. Asks the database only for tags that are new."""
        names = {name.lower() for name in re.split(r"[\s,;]+", text) if name}
        self.tags |= tags_named(names - set(self.tags))
        return sorted(names)

    def _new_site(self, entry: Entry, values: dict[str, Any], target: Target, extras: _Extras) -> None:
        row = Instance()
        row.aim(target, owner=self.actor.user, reason=REASON, now=self.now)
        self.sites[str(values["slug"])] = row
        if not self._keep(entry, row, values, self.report.sites, str(values["slug"])):
            return
        record_target(row, target, actor=self.actor, now=self.now)
        self._put(row, extras)
        self.changes[-1].after |= extras.plain()

    def _known_site(
        self, entry: Entry, row: Instance, values: dict[str, Any], target: Target | None, extras: _Extras
    ) -> None:
        if not self._keep(entry, row, values, self.report.sites, row.slug):
            return
        before = _Extras(
            sorted(tag.name for tag in row.tags.all()), tuple(window.window for window in row.windows.all())
        ).plain()
        differs = extras.other_than(before)
        self._put(row, differs)
        for name, value in differs.plain().items():
            kind = "tags.changed" if name == "tags" else "window.changed"
            self._note(kind, row, {name: before[name]}, {name: value})
            self.report.sites[row.slug] = Fate.CHANGED
        if target is None or target == row.target:
            return
        if row.target_changes.exclude(origin=Origin.IMPORT).exists():
            self.report.kept_targets.append(row.slug)
            return
        set_target(row, target, actor=self.actor, now=self.now, reason=REASON)
        self.report.sites[row.slug] = Fate.CHANGED

    def _put(self, row: Instance, extras: _Extras) -> None:
        if extras.tags is not None:
            row.tags.set([self.tags[name] for name in extras.tags])
        if extras.windows is not None:
            put_windows(row, extras.windows)

    def _keep(self, entry: Entry, row: Model, values: Mapping[str, Any], fates: dict[str, Fate], name: str) -> bool:
        """Saves a row with these values if they are valid and say something new. Whether they are valid."""
        new = row.pk is None
        if not new and not any(_differs(row, key, value) for key, value in values.items()):
            fates[name] = Fate.UNCHANGED
            return True
        before = {} if new else values_of(row, values)
        for key, value in values.items():
            setattr(row, key, value)
        try:
            check_row(row)
        except InvalidInput as refused:
            for key, messages in refused.errors.items():
                for message in messages:
                    self._refuse(entry, key, message)
            return False
        fates[name] = Fate.CREATED if new else Fate.CHANGED
        row.save(update_fields=None if new else list(values))  # a site may report its version meanwhile
        word = WORDS[type(row)]
        if new:
            self._note(f"{word}.added", row, {}, all_of(row))
        else:
            self._note(f"{word}.changed", row, *difference(before, values_of(row, values)))
        return True

    def _note(self, kind: str, row: Model, before: dict[str, Any], after: dict[str, Any]) -> None:
        self.changes.append(change_of(kind, row, actor=self.actor, now=self.now, before=before, after=after))

    def _refuse(self, entry: Entry, key: str, message: str) -> None:
        self.errors.append(f"{entry.where(key)}: {message}")


def _differs(row: Model, key: str, value: Any) -> bool:
    """Whether the row says something else; what is malformed differs from everything. No query."""
    if isinstance(value, Model):
        return bool(getattr(row, f"{key}_id") != value.pk)
    try:
        return bool(getattr(row, key) != row._meta.get_field(key).to_python(value))  # type: ignore[union-attr]
    except ValidationError:
        return True


def _is_key(text: str) -> bool:
    try:
        return bool(key_bytes(text))
    except ValueError:
        return False
