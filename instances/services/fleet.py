"""Customers, hosts and sites: adding, changing, tagging and deleting them, each with its record (T7)."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import ProtectedError

from instances.choices import Kind
from instances.exceptions import InvalidInput, ReasonMissing, StillInUse
from instances.models import Customer, Host, Installation, Instance, Tag, Target
from instances.services.input import check_row, checked_again, locked, refuse, text_fault
from instances.services.seen import refuse_unless_all_seen
from instances.services.targets import check_target, complete_target, default_target, record_target, target_values
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import (
    change_of,
    difference,
    record,
    record_all,
    refuse_unless_seen,
    values_of,
)

CUSTOMER_FIELDS = ("slug", "name", "identity")
HOST_FIELDS = ("name", "address", "port", "user", "enabled", "max_parallel", "identity", "jump", "max_connections")
SITE_FIELDS = (
    "slug", "customer", "host", "kind", "path", "url", "notes", "recipe", "recipe_values", "health_url",
    "health_timeout_s",
    "version_url", "version_command", "backup_command", "migrate_command", "migrate_undo_command", "restart_command",
    "min_free_mb",
)  # fmt: skip
FIELDS: dict[type[models.Model], tuple[str, ...]] = {
    Customer: CUSTOMER_FIELDS, Host: HOST_FIELDS, Instance: SITE_FIELDS,
}  # fmt: skip
WORDS: dict[type[models.Model], str] = {Customer: "customer", Host: "host", Instance: "site"}
Row = TypeVar("Row", Customer, Host, Instance)


def add_customer(values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "") -> Customer:
    """`values` are those of CUSTOMER_FIELDS. Raises InvalidInput."""
    return _add(Customer(), values, actor, now, reason)


def add_host(values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "") -> Host:
    """`values` are those of HOST_FIELDS. Its key is approved later (U6). Raises InvalidInput."""
    return _add(Host(), values, actor, now, reason)


def add_site(
    values: Mapping[str, Any], *, actor: Actor, now: datetime, target: Target | None = None, reason: str = ""
) -> Instance:
    """`values` are those of SITE_FIELDS; without a target it has the default one (T1).

    Raises InvalidInput, or TargetRefused for the target.
    """
    kind = Kind(values["kind"]) if values.get("kind") in Kind.values else Kind.LIVE
    site = Instance(kind=kind)
    target = complete_target(site, target or default_target(kind))
    check_target(site, target, now=now)
    if target.build and not reason.strip():
        raise ReasonMissing(f"Pinning a site to {target.build} needs a reason.")
    site.aim(target, owner=actor.user, reason=reason.strip(), now=now)
    with transaction.atomic():
        site = _add(site, values, actor, now, reason)
        record_target(site, target, actor=actor, now=now, reason=reason)
    return site


def change_customer(
    customer: Customer, values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "",
    seen: int | None = None,
) -> bool:  # fmt: skip
    """Changes what differs, and whether anything did. Raises InvalidInput or ChangedMeanwhile."""
    return _change(customer, values, actor, now, reason, seen)


def change_host(
    host: Host, values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> bool:
    """The same for a host."""
    with transaction.atomic():
        if values.get("jump"):  # two such changes at once could close a circle
            Installation.objects.select_for_update().get_or_create(pk=1)
        return _change(host, values, actor, now, reason, seen)


def change_site(
    site: Instance, values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "",
    seen: int | None = None,
) -> bool:  # fmt: skip
    """The same for a site. Its target, tags and windows have verbs of their own."""
    return _change(site, values, actor, now, reason, seen)


def delete_customer(
    customer: Customer, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> None:
    """Raises StillInUse while a site or a freeze belongs to it, or ChangedMeanwhile."""
    _delete(customer, actor, now, reason, seen)


def delete_host(host: Host, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None) -> None:
    """Raises StillInUse while a site is on it, or ChangedMeanwhile."""
    _delete(host, actor, now, reason, seen)


def delete_site(site: Instance, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None) -> None:
    """Its holds, windows and tags go with it; its history stays.

    Raises StillInUse once it has had an upgrade, or ChangedMeanwhile.
    """
    _delete(site, actor, now, reason, seen)


def set_tags(
    site: Instance, names: Iterable[str], *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> bool:
    """Gives a site these tags and no other, and whether that changed anything. Raises InvalidInput."""
    tags = tags_named(names)
    with transaction.atomic():
        [row] = locked([site])
        refuse_unless_seen(row, seen)
        before = {tag.name: tag for tag in row.tags.all()}
        if set(before) == set(tags):
            return False
        row.tags.set(tags.values())
        record(
            "tags.changed", row, actor=actor, now=now, reason=reason,
            before={"tags": sorted(before)}, after={"tags": sorted(tags)},
        )  # fmt: skip
    return True


def change_tags(
    sites: Collection[Instance], *, actor: Actor, now: datetime, add: Iterable[str] = (),
    remove: Iterable[str] = (), reason: str = "", seen: Mapping[int, int] | None = None,
) -> list[Instance]:  # fmt: skip
    """Adds and removes tags on many sites (T9). Those that it changed. The queries do not grow with the sites."""
    new, old = tags_named(add), set(remove)
    with transaction.atomic():
        rows = locked(sites)
        refuse_unless_all_seen(rows, seen)
        models.prefetch_related_objects(rows, "tags")
        changed, links, history = [], [], []
        for row in rows:
            before = {tag.name for tag in row.tags.all()}
            after = before - old | set(new)
            if after == before:
                continue
            changed.append(row)
            links += [Instance.tags.through(instance=row, tag=new[name]) for name in after - before]
            history.append(change_of(
                "tags.changed", row, actor=actor, now=now, reason=reason,
                before={"tags": sorted(before)}, after={"tags": sorted(after)},
            ))  # fmt: skip
        Instance.tags.through.objects.filter(instance__in=changed, tag__name__in=old - set(new)).delete()
        Instance.tags.through.objects.bulk_create(links, batch_size=1000)
        record_all(history)
    return changed


def tags_named(names: Iterable[str]) -> dict[str, Tag]:
    """Makes those that are new. Raises InvalidInput for what is not a word."""
    wanted = sorted(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    tags = {tag.name: tag for tag in Tag.objects.filter(name__in=wanted)} if wanted else {}
    for name in wanted:
        if name not in tags:
            tags[name] = _new_tag(name)
    return tags


def _new_tag(name: str) -> Tag:
    tag = Tag(name=name)
    refuse(text_fault({"tags": name}))
    try:
        tag.clean_fields()
    except ValidationError as error:
        raise InvalidInput({"tags": [f"“{name}” is not a tag: letters, digits, hyphens, underscores."]}) from error
    return Tag.objects.get_or_create(name=name)[0]


def _add(row: Row, values: Mapping[str, Any], actor: Actor, now: datetime, reason: str) -> Row:
    _take(row, values)
    check_row(row)
    with checked_again(row):
        row.save(force_insert=True)
        record(f"{_word(row)}.added", row, actor=actor, now=now, after=all_of(row), reason=reason)
    return row


def all_of(row: models.Model) -> dict[str, Any]:
    """What it was added or deleted with."""
    values = {name: value for name, value in values_of(row, FIELDS[type(row)]).items() if value not in ("", None)}
    return values | ({"target": target_values(row)} if isinstance(row, Instance) else {})


def _change(
    row: Row, values: Mapping[str, Any], actor: Actor, now: datetime, reason: str, seen: int | None
) -> bool:  # fmt: skip
    with transaction.atomic():
        fresh = type(row)._default_manager.select_for_update().get(pk=row.pk)
        refuse_unless_seen(fresh, seen)
        before = values_of(fresh, FIELDS[type(row)])
        _take(fresh, values)
        check_row(fresh)
        old, new = difference(before, values_of(fresh, FIELDS[type(row)]))
        if not new:
            return False
        with checked_again(fresh):
            fresh.save(update_fields=list(new))  # a site may report its version meanwhile
        record(f"{_word(row)}.changed", fresh, actor=actor, now=now, before=old, after=new, reason=reason)
    row.refresh_from_db()
    return True


def _delete(row: Row, actor: Actor, now: datetime, reason: str, seen: int | None) -> None:
    with transaction.atomic():
        fresh = type(row)._default_manager.select_for_update().get(pk=row.pk)
        refuse_unless_seen(fresh, seen)
        record(f"{_word(row)}.deleted", fresh, actor=actor, now=now, before=all_of(fresh), reason=reason)
        try:
            fresh.delete()
        except ProtectedError as error:
            raise StillInUse(_what_hangs_on(fresh, error)) from error


def _what_hangs_on(row: models.Model, error: ProtectedError) -> str:
    kinds = sorted({str(each._meta.verbose_name_plural) for each in error.protected_objects})
    return f"{row} cannot be deleted: it has {' and '.join(kinds)}."


def _take(row: Row, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in FIELDS[type(row)]:
            raise TypeError(f"A {_word(row)} has no {name}.")
        setattr(row, name, value)


def _word(row: models.Model) -> str:
    return WORDS[type(row)]
