"""This installation itself, as hosts know it."""

import uuid

from django.db import models
from django.db.models import Q


class Installation(models.Model):
    """One row. Its number stands in the mark of every site, and never changes."""

    number = models.UUIDField(default=uuid.uuid4, editable=False)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="installation_is_one")]

    def __str__(self) -> str:
        return self.number.hex
