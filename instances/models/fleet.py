"""Customers, hosts and sites (instances), each with a target and the version it reported."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from builds.models import Build, Channel
from builds.versions import key_of
from instances.choices import HostState, Kind, PinEndChoice
from instances.pins import PinEnd
from instances.querysets import HostQuerySet, InstanceQuerySet
from instances.recipe_values import parse_values
from releasemgr.lib.actors import Origin, name_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

one_line = RegexValidator(r"\A[^\x00-\x1f\x7f]*\Z", _("One line, without control characters."))
MOST_HOPS = 5
absolute_path = RegexValidator(
    r"\A/[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f]\Z", _("An absolute path, without a slash at its end.")
)


PAGES = ("new", "pins", "bulk", "authorities")
"""Names of pages beside those of customers, hosts and sites: nothing can have them."""


def no_page(name: str) -> None:
    """Raises ValidationError for a name that is a page's."""
    if name.lower() in PAGES:
        raise ValidationError(_("“%(name)s” is the address of a page. Choose another name.") % {"name": name})


def values_parse(text: str) -> None:
    """For a field that holds values for a recipe."""
    try:
        parse_values(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class Customer(models.Model):
    slug = models.SlugField(max_length=60, unique=True, validators=[no_page])
    name = models.CharField(max_length=120, validators=[one_line])
    identity = models.SlugField(
        max_length=60, blank=True, db_index=False, help_text=_("The key for hosts of its sites that name none.")
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Host(models.Model):
    """A machine with sites on it. Its key is pinned: nothing runs there before a person approved it (U6)."""

    name = models.SlugField(max_length=120, unique=True, validators=[no_page])
    address = models.CharField(max_length=255, validators=[one_line])
    port = models.PositiveIntegerField(default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    user = models.CharField(max_length=64, default="releasemgr", validators=[one_line])
    enabled = models.BooleanField(default=True)
    jump = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="behind",
        help_text=_("The host over which it is reached."),
    )  # fmt: skip
    max_connections = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(500)],
        help_text=_("Hosts that are reached over it at once."),
    )  # fmt: skip
    max_parallel = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(8)],
        help_text=_("Upgrades at once. sshd takes 10 channels a connection by default."),
    )  # fmt: skip

    identity = models.SlugField(
        max_length=60, blank=True, db_index=False, help_text=_("The name of the key to sign in with.")
    )

    host_key = models.TextField(blank=True, help_text=_("The approved key, as “type base64”."))
    host_key_approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    host_key_approved_at = models.DateTimeField(null=True, blank=True)
    host_key_authority = models.ForeignKey(
        "HostAuthority", models.PROTECT, null=True, blank=True, related_name="hosts",
        help_text=_("Who vouched for it, where no person approved it."),
    )  # fmt: skip
    offered_key = models.TextField(blank=True, help_text=_("A key that the host offers and nobody approved."))
    offered_at = models.DateTimeField(null=True, blank=True)
    scan_asked_at = models.DateTimeField(null=True, blank=True, help_text=_("When somebody last asked for its key."))
    scanned_at = models.DateTimeField(null=True, blank=True, help_text=_("When it was last asked for its key."))
    scan_failure = models.TextField(blank=True, help_text=_("Why that failed; empty if it did not."))

    contacted_at = models.DateTimeField(null=True, blank=True, help_text=_("The last attempt to reach it."))
    failing_since = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(blank=True, help_text=_("Why the last contact failed; empty if it did not."))
    signed_in_at = models.DateTimeField(null=True, blank=True)
    signed_in_as = models.CharField(max_length=60, blank=True, help_text=_("The name of the key that it took last."))
    refused_since = models.DateTimeField(null=True, blank=True, help_text=_("Since when it does not take a key."))
    refused_as = models.CharField(max_length=60, blank=True, help_text=_("The name of that key."))

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(max_parallel__range=(1, 8)), name="host_max_parallel_1_to_8"),
            models.CheckConstraint(condition=Q(port__range=(1, 65535)), name="host_port_valid"),
            models.CheckConstraint(condition=~Q(jump=F("id")), name="host_is_not_its_own_jump_host"),
            models.CheckConstraint(condition=Q(max_connections__range=(1, 500)), name="host_max_connections_valid"),
        ]
        permissions = [("approve_host_key", "Can approve host keys")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("host", args=[self.name])

    @property
    def silent(self) -> "Host | None":
        """What keeps it from being reached: itself, or the nearest of its jump hosts that does not answer.

        A query for each hop. Nothing is learnt of a host whose jump host is down.
        """
        hop: Host | None = self
        while hop is not None and hop.failing_since is None:
            hop = hop.jump
        return hop

    def clean(self) -> None:
        """A chain of jump hosts ends. A query for each of its hosts."""
        hop, names = self.jump, [self.name]
        while hop is not None:
            names.append(hop.name)
            if hop.pk == self.pk or len(names) > MOST_HOPS + 1:
                chain = " → ".join(names)
                raise ValidationError({"jump": _("It would be reached over itself, or over too many: %s.") % chain})
            hop = hop.jump

    @property
    def key_changed(self) -> bool:
        """Whether it offers another key than the approved one (U6)."""
        return bool(self.host_key and self.offered_key)

    @property
    def key_trusted(self) -> bool:
        """Whether upgrades may run: a key is approved, and the host offers no other (U6)."""
        return bool(self.host_key) and not self.offered_key

    @property
    def is_being_scanned(self) -> bool:
        """Whether somebody asked for its key, and no worker has asked the host since."""
        return self.scan_asked_at is not None and (self.scanned_at is None or self.scanned_at < self.scan_asked_at)

    @property
    def state(self) -> HostState:
        """What to tell of it first: a key that nobody approved stops more than a contact that failed."""
        if not self.enabled:
            return HostState.DISABLED
        if not self.key_trusted:
            return HostState.KEY_CHANGED if self.key_changed else HostState.KEY_NOT_APPROVED
        if self.failing_since:
            return HostState.NOT_ANSWERING
        return HostState.ANSWERING if self.contacted_at else HostState.NOT_CONTACTED


class Tag(models.Model):
    """A word on sites, by which freezes, canaries and filters find them."""

    name = models.SlugField(max_length=60, unique=True)
    max_parallel = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("Upgrades of these sites at once, where they share something; none without a limit."),
    )  # fmt: skip

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(max_parallel__range=(1, 1000)), name="tag_max_parallel_1_to_1000"),
        ]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Target:
    """What a site should run: a channel's name, or a pin to a build. Never both, never neither (T1).

    A pin ends never, at `until`, or when the channel `then` has caught up; the site then follows `then` (T2).
    Where that is None for a pin that ends, it is the channel that the site follows now, or followed before its pin.
    """

    channel: str | None = None
    build: Build | None = None
    ends: PinEnd = PinEnd.NEVER
    until: datetime | None = None
    then: str | None = None

    def __post_init__(self) -> None:
        if (self.channel is None) == (self.build is None):
            raise ValueError("A target is a channel or a build.")
        if (self.ends is PinEnd.ON_DATE) != (self.until is not None):
            raise ValueError("A pin that ends on a date has one, and no other target has.")
        if self.ends is PinEnd.NEVER and self.then is not None:
            raise ValueError("What never ends is followed by nothing.")
        if self.channel is not None and self.ends is not PinEnd.NEVER:
            raise ValueError("Only a pin ends.")

    def __str__(self) -> str:
        return self.channel or f"pinned {self.build}"


TARGET_IS_ONE = Q(target_channel=None, target_build__isnull=False) | Q(target_channel__isnull=False, target_build=None)
PIN_HAS_ITS_TERMS = Q(
    target_build=None, pin_ends="", pin_until=None, pin_then=None, pin_owner=None, pin_reason="", pin_since=None,
    downgrade_from_key=None,
) | (
    Q(target_build__isnull=False, pin_since__isnull=False) & ~Q(pin_reason="") & (
        Q(pin_ends=PinEndChoice.NEVER, pin_until=None, pin_then=None)
        | Q(pin_ends=PinEndChoice.ON_DATE, pin_until__isnull=False, pin_then__isnull=False)
        | Q(pin_ends=PinEndChoice.CAUGHT_UP, pin_until=None, pin_then__isnull=False)
    )
)  # fmt: skip
TARGET_FIELDS = (
    "target_channel", "target_build", "pin_ends", "pin_until", "pin_then", "pin_owner", "pin_reason", "pin_since",
    "downgrade_from_key",
)  # fmt: skip


REPORTED = ["reported_version", "reported_key", "reported_at", "foreign_mark", "mark_given_up"]


class Instance(models.Model):
    """One customer's LIVE or TEST installation: a site, on screen."""

    slug = models.SlugField(max_length=120, unique=True, validators=[no_page])
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="instances")
    host = models.ForeignKey(Host, models.PROTECT, related_name="instances")
    kind = models.CharField(max_length=4, choices=Kind.choices)
    path = models.CharField(max_length=500, validators=[absolute_path])
    url = models.URLField(max_length=500, blank=True)
    notes = models.TextField(blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="instances")

    recipe = models.SlugField(max_length=60, default="symlink")
    recipe_values = models.TextField(
        blank=True, validators=[one_line, values_parse],
        help_text=_("Instead of the recipe’s own, with a blank between: PACKAGE=acme PYTHON=python3.12. No secrets."),
    )  # fmt: skip
    health_url = models.URLField(max_length=500, blank=True)
    health_timeout_s = models.PositiveIntegerField(default=60, validators=[MaxValueValidator(3600)])
    version_url = models.URLField(max_length=500, blank=True)
    version_command = models.TextField(blank=True, validators=[one_line])
    backup_command = models.TextField(blank=True, validators=[one_line])
    migrate_command = models.TextField(blank=True, validators=[one_line])
    migrate_undo_command = models.TextField(blank=True, validators=[one_line])
    restart_command = models.TextField(blank=True, validators=[one_line])
    min_free_mb = models.PositiveIntegerField(
        default=0, help_text=_("Free disk that an upgrade needs beside the release itself, in MB.")
    )

    target_channel = models.ForeignKey(
        Channel, models.PROTECT, null=True, blank=True, related_name="followers", db_column="target_channel"
    )
    target_build = models.ForeignKey(Build, models.PROTECT, null=True, blank=True, related_name="pinned_instances")
    pin_ends = models.CharField(max_length=10, choices=PinEndChoice.choices, blank=True)
    pin_until = models.DateTimeField(null=True, blank=True)
    pin_then = models.ForeignKey(
        Channel, models.PROTECT, null=True, blank=True, related_name="+", db_column="pin_then",
        help_text=_("What it follows after the pin, and which has to catch up."),
    )  # fmt: skip
    pin_owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    pin_reason = models.TextField(blank=True)
    pin_since = models.DateTimeField(null=True, blank=True)
    downgrade_from_key = models.CharField(
        max_length=400, null=True, blank=True, db_collation="C",
        help_text=_("The version that it may leave for the older pinned one (T4), as a sort key."),
    )  # fmt: skip

    reported_version = models.CharField(max_length=200, blank=True, help_text=_("As the site printed it."))
    reported_key = models.CharField(max_length=400, null=True, blank=True, db_collation="C", db_index=True)
    reported_at = models.DateTimeField(null=True, blank=True)

    foreign_mark = models.CharField(
        max_length=200, blank=True, help_text=_("What its directory says that it is, where that is another site.")
    )
    mark_given_up = models.CharField(
        max_length=200, blank=True, help_text=_("The mark that a person said means nothing any more.")
    )

    objects = InstanceQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        verbose_name = _("site")
        constraints = [
            models.UniqueConstraint(fields=["host", "path"], name="instance_one_per_path"),
            models.CheckConstraint(condition=TARGET_IS_ONE, name="instance_target_is_channel_or_build"),
            models.CheckConstraint(condition=PIN_HAS_ITS_TERMS, name="instance_target_pin_has_its_terms"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="instance_kind_known"),
        ]
        permissions = [
            ("change_target", "Can change the target of sites"),
            ("allow_downgrade", "Can let a site go back to an older version"),
            ("hold_site", "Can hold sites"),
        ]

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("site", args=[self.slug])

    @property
    def target(self) -> Target:
        return Target(
            channel=self.target_channel_id, build=self.target_build, ends=self.pin_end, until=self.pin_until,
            then=self.pin_then_id,
        )  # fmt: skip

    @property
    def pin_end(self) -> PinEnd:
        """How its pin ends; NEVER also without one."""
        return PinEnd(self.pin_ends or PinEnd.NEVER)

    @property
    def own_values(self) -> dict[str, str]:
        """For its recipe, by name."""
        return parse_values(self.recipe_values)

    def is_downgrade(self, build: Build) -> bool:
        """Whether the build is older than what the site runs (T4)."""
        return self.reported_key is not None and build.version_key < self.reported_key

    @property
    def may_downgrade(self) -> bool:
        """Whether someone consented to leave the version that it runs now for the older pinned one (T4)."""
        return self.downgrade_from_key is not None and self.downgrade_from_key == self.reported_key

    def aim(
        self, target: Target, *, owner: "User | None", reason: str, now: datetime, downgrade_from: str | None = None
    ) -> None:
        """Takes a target over into its fields, and saves nothing. The terms of a pin go with it."""
        same_build = target.build is not None and target.build.pk == self.target_build_id
        pinned = target.build is not None
        self.target_channel_id, self.target_build = target.channel, target.build
        self.pin_ends = PinEndChoice(target.ends.value) if pinned else ""
        self.pin_until, self.pin_then_id = target.until, target.then
        self.pin_owner, self.pin_reason = (owner, reason) if pinned else (None, "")
        self.pin_since = (self.pin_since if same_build else now) if pinned else None
        self.downgrade_from_key = downgrade_from

    def report(self, raw: str, *, now: datetime) -> bool:
        """Keeps what the site says of its version (P10), and whether that is another version than before.

        Only a directory that is marked as this site's tells it.
        """
        text = raw.strip().encode(errors="replace").decode().replace("\x00", "\ufffd")
        key = key_of(text)
        drifted = self.reported_at is not None and key != self.reported_key
        self.reported_version, self.reported_key, self.reported_at = text[:200], key, now
        self.foreign_mark = self.mark_given_up = ""
        self.save(update_fields=REPORTED)
        return drifted


class TargetChange(models.Model):
    """One change of a target: who, when, from, to, why, from where (T1). Never edited."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="target_changes")
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    reason = models.TextField(blank=True)
    from_channel = models.ForeignKey(Channel, models.PROTECT, null=True, related_name="+", db_column="from_channel")
    from_build = models.ForeignKey(Build, models.PROTECT, null=True, related_name="+")
    from_ends = models.CharField(max_length=10, choices=PinEndChoice.choices, blank=True)
    from_until = models.DateTimeField(null=True)
    from_then = models.ForeignKey(Channel, models.PROTECT, null=True, related_name="+", db_column="from_then")
    to_channel = models.ForeignKey(Channel, models.PROTECT, null=True, related_name="+", db_column="to_channel")
    to_build = models.ForeignKey(Build, models.PROTECT, null=True, related_name="+")
    to_ends = models.CharField(max_length=10, choices=PinEndChoice.choices, blank=True)
    to_until = models.DateTimeField(null=True)
    to_then = models.ForeignKey(Channel, models.PROTECT, null=True, related_name="+", db_column="to_then")

    class Meta:
        ordering = ["-at", "-pk"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["instance", "-at"])]

    def __str__(self) -> str:
        return f"{self.instance}: {self.to_channel_id or self.to_build}"

    @property
    def made_by(self) -> str:
        return name_of(self.by, self.origin)

    @property
    def before(self) -> Target | None:
        """None for the target that the site was created with."""
        if self.from_channel_id or self.from_build_id:
            return Target(
                self.from_channel_id, self.from_build, PinEnd(self.from_ends or PinEnd.NEVER), self.from_until,
                self.from_then_id,
            )  # fmt: skip
        return None

    @property
    def after(self) -> Target:
        return Target(
            self.to_channel_id, self.to_build, PinEnd(self.to_ends or PinEnd.NEVER), self.to_until, self.to_then_id
        )
