"""Refuses what the database would refuse with an error, in sentences by the name of the field."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, models, transaction

from instances.exceptions import InvalidInput, UnknownSite
from instances.models import LONGEST, Instance

FAR = timedelta(days=5 * 366)


def locked(instances: Iterable[Instance]) -> list[Instance]:
    """The rows as they are now, locked until the transaction ends, always in the same order. At most two queries.

    The pinned builds are read once the rows are held: one that was waited for may be pinned to another by then, which
    a join would not see. Raises UnknownSite for what was deleted meanwhile.
    """
    numbers = {instance.pk: instance for instance in instances}
    held = Instance.objects.select_for_update(no_key=True).filter(pk__in=numbers).order_by("pk")
    rows = list(held.prefetch_related("target_build"))
    if gone := sorted(str(numbers[pk]) for pk in numbers.keys() - {row.pk for row in rows}):
        raise UnknownSite(f"No site is named {', '.join(gone)} any more.")
    return rows


def refuse(errors: Mapping[str, str]) -> None:
    """Raises InvalidInput for every sentence that is not empty."""
    found = {name: [sentence] for name, sentence in errors.items() if sentence}
    if found:
        raise InvalidInput(found)


def text_fault(values: Mapping[str, Any]) -> dict[str, str]:
    """What no column can hold: NUL, and half of a surrogate pair."""
    return {
        name: "Holds characters that are not text."
        for name, value in values.items()
        if isinstance(value, str) and ("\x00" in value or value.encode("utf-8", "ignore").decode() != value)
    }


def reason_fault(reason: str) -> str:
    return text_fault({"reason": reason}).get("reason", "" if reason.strip() else "The reason is missing.")


def span_faults(starts_at: datetime, ends_at: datetime, now: datetime) -> dict[str, str]:
    """What is wrong with the times of a hold or freeze: none is longer than a year without being renewed."""
    if ends_at <= starts_at:
        return {"ends_at": "The end has to be after the start."}
    if ends_at - max(starts_at, now) > LONGEST:
        return {"ends_at": f"At most {LONGEST.days} days; it can be renewed then."}
    if starts_at - now > FAR:
        return {"starts_at": "The start is more than five years away."}
    return {}


def check_row(row: models.Model) -> None:
    """Raises InvalidInput with all that is wrong with a row, by field."""
    refuse(text_fault({field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}))
    try:
        row.full_clean()
    except ValidationError as error:
        raise InvalidInput(_by_field(error)) from error


def _by_field(error: ValidationError) -> dict[str, list[str]]:
    return {"" if name == NON_FIELD_ERRORS else name: found for name, found in error.message_dict.items()}


@contextmanager
def checked_again(row: models.Model) -> Iterator[None]:
    """Saves inside; what another one saved in between is refused as if it had been there before."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        check_row(row)
        raise InvalidInput({"": ["Somebody else saved something at the same time. Nothing was saved."]}) from error
