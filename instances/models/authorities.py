"""Authorities that vouch for keys of hosts (U6)."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from instances.host_keys import shown_fingerprint
from instances.known_hosts import KnownLine, Mark, name_of


class HostAuthority(models.Model):
    """A key that signs keys of hosts: what it signed is trusted without asking, on the hosts that `names` match."""

    names = models.CharField(max_length=1000, help_text=_("Patterns with commas, as in known_hosts."))
    key = models.TextField(unique=True, help_text=_("As “type base64”."))
    added_at = models.DateTimeField()
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField()

    class Meta:
        ordering = ["names", "pk"]
        default_permissions = ("view",)
        verbose_name = _("authority for host keys")

    def __str__(self) -> str:
        return self.fingerprint

    @property
    def fingerprint(self) -> str:
        return shown_fingerprint(self.key)

    def speaks_of(self, address: str, port: int) -> bool:
        return KnownLine(0, Mark.AUTHORITY, self.names, self.key).speaks_of(name_of(address, port))
