"""The forms of sites, customers and hosts: refusals beside their field, the effect on tonight, and who changed what."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from builds.maturity import Maturity
from instances.models import Customer, Host, Instance, Target
from instances.services import change_host, change_site, open_freeze, read_windows, set_windows, windows_of
from instances.window_text import format_windows
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from releasemgr.lib.identities import KeyFile
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_upgrade
from upgrades.choices import EndCode, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
PAGE, EDIT, NEW = "/sites/acme-live/", "/sites/acme-live/edit/", "/sites/new/"


@pytest.fixture
def site() -> Instance:
    """Upgrades tonight."""
    make_build("4.2", maturity=Maturity.STABLE)
    return make_instance(
        "acme-live", runs="4.1", target_channel_id="stable", customer=make_customer("Acme"), host=make_host("web1")
    )


@pytest.fixture
def writer(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def details(site: Instance, **values: str) -> dict[str, str]:
    """The form as the page shows it, with some fields typed anew."""
    shown = {
        "slug": site.slug, "kind": site.kind, "customer": site.customer.slug, "host": site.host.name,
        "path": site.path, "recipe": site.recipe, "health_timeout_s": "60", "min_free_mb": "0",
        "seen": str(last_seen(site)),
    }  # fmt: skip
    return shown | values


def changes() -> list[str]:
    return [change.kind for change in Change.objects.order_by("pk")]


# Sites


def test_details_windows_and_tags_are_saved_together_each_with_its_record(writer: Client, site: Instance) -> None:
    typed = {"notes": "Ask Aoife.", "tags": "canary, Healthcare", "window": "Mon-Fri 01:00-04:00 Europe/Dublin"}

    answer = writer.post(EDIT, details(site, **typed, reason="New contract"), follow=True)

    site.refresh_from_db()
    assert site.notes == "Ask Aoife."
    assert [tag.name for tag in site.tags.all()] == ["canary", "healthcare"]
    assert format_windows(windows_of(site)) == typed["window"]
    assert changes() == ["site.changed", "window.changed", "tags.changed"]
    assert {change.reason for change in Change.objects.all()} == {"New contract"}
    for words in ("The details of acme-live are saved.", "Mon-Fri 01:00-04:00 Europe/Dublin", "Ask Aoife.", "canary"):
        assert words in text(answer)


def test_the_form_shows_what_is_there_and_saving_it_changes_nothing(writer: Client, site: Instance) -> None:
    set_windows(site, read_windows("Sat 01:00-04:00 UTC; Sun 02:00-04:00 UTC"), actor=COMMAND, now=NOW)

    page = writer.get(EDIT)
    shown = {field.name: field.value() or "" for field in page.context["form"].visible_fields()}
    typed = {"customer": site.customer.slug, "host": site.host.name, "seen": str(last_seen(site))}
    writer.post(EDIT, {name: str(value) for name, value in shown.items()} | typed)

    assert '<option value="acme" selected>' in text(page)
    assert changes() == ["window.changed"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"window": "Sat 01:00-04:00 Europe/Dublin"}, ("Opens next:", "Sat 28 Nov 01:00 in Dublin, until 04:00")),
        ({"window": "Sat 01:00-04:00 Europe/Dublin"}, ("nothing happens tonight, instead of an upgrade to 4.2.",)),
        ({"window": "Sat 01:00-04:00 Europe/Dublin"}, ("Next chance: Sat 28 Nov 01:00 in Dublin.",)),
        ({"window": "Sat 01:00-04:00 Europe/Dublni"}, ("not a time zone. Is it Europe/Dublin?",)),
        ({"host": "off"}, ("off is switched off. Nothing runs there.",)),
        ({"tags": "frozen"}, ("Frozen until",)),
        ({"notes": "Call first"}, ("tonight stays as it is.", "Upgrades from 4.1 to 4.2.")),
    ],
)
def test_t3_before_saving_the_form_says_what_tonight_would_do(
    writer: Client, site: Instance, typed: dict[str, str], said: tuple[str, ...]
) -> None:
    make_host("off", enabled=False)
    other = make_instance("other")
    other.tags.create(name="frozen")
    freeze = {"name": "Audit", "scope": "tag", "tag": other.tags.get(), "zone": "UTC", "reason": "Audit"}
    open_freeze(freeze | {"starts_at": NOW, "ends_at": NOW.replace(day=30)}, actor=COMMAND, now=NOW)
    before = changes()

    answer = writer.post(EDIT, details(site, **typed, preview="1"), headers=HTMX)

    for words in said:
        assert words in text(answer)
    assert "<h1" not in text(answer)
    assert changes() == before
    assert not site.windows.exists()


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"slug": "new"}, "slug", "“new” is the address of a page. Choose another name."),
        ({"slug": "other"}, "slug", "Site with this Slug already exists."),
        ({"path": "srv/acme"}, "path", "An absolute path, without a slash at its end."),
        ({"path": "/srv/other", "host": "web2"}, "__all__", "already exists"),
        ({"recipe_values": "acme"}, "recipe_values", "“acme” is not a value such as PACKAGE=acme"),
        ({"recipe": "magic"}, "recipe", "magic is not one of the available choices."),
        ({"customer": "nobody"}, "customer", "Select a valid choice."),
        ({"window": "Mon 01:00-01:05 UTC"}, "window", "A window has to be 15 minutes long at least."),
        ({"window": "Mon-Fri 01:00-04:00"}, "window", "The time zone is missing."),
        ({"tags": "a b"}, "tags", "“a b” is not a tag"),
        ({"url": "not a url"}, "url", "Enter a valid URL."),
        ({"health_timeout_s": "-1"}, "health_timeout_s", "greater than or equal to 0"),
        ({"notes": "a\x00b"}, "notes", "Null characters are not allowed."),
    ],
)
def test_t9_what_is_refused_stands_beside_its_field_and_nothing_of_it_is_saved(
    writer: Client, site: Instance, typed: dict[str, str], field: str, said: str
) -> None:
    make_instance("other", host=make_host("web2"))

    answer = writer.post(EDIT, details(site, **({"notes": "Call first"} | typed)))

    assert answer.status_code == 422
    assert said in " ".join(answer.context["form"].errors[field])
    assert "Call first" in text(answer) or field == "notes"
    assert changes() == []


def test_t7_details_that_someone_else_changed_are_refused_and_theirs_shown(
    writer: Client, site: Instance, administrator: User
) -> None:
    old = details(site, notes="Mine")
    change_site(site, {"notes": "Theirs"}, actor=Actor(Origin.PAGE, administrator), now=NOW)

    answer = writer.post(EDIT, old)

    assert answer.status_code == 409
    assert f"{administrator.username} changed acme-live meanwhile" in text(answer)
    assert "Mine</textarea>" in text(answer)
    assert Instance.objects.get(pk=site.pk).notes == "Theirs"


def test_a_site_is_added_with_its_default_target_windows_and_tags(writer: Client, site: Instance) -> None:
    """T1."""
    typed = details(site, slug="acme-test", kind="test", path="/srv/acme-test", seen="0", tags="demo", window="")

    preview = text(writer.post(NEW, typed | {"preview": "1"}, headers=HTMX))
    assert not Instance.objects.filter(slug="acme-test").exists()
    answer = writer.post(NEW, typed, follow=True)

    added = Instance.objects.get(slug="acme-test")
    assert "If saved:" in preview
    assert (added.target, [tag.name for tag in added.tags.all()]) == (Target(channel="beta"), ["demo"])
    assert "acme-test is added. It follows beta." in text(answer)


def test_a_site_without_upgrades_is_deleted_by_its_name_and_one_with_them_is_not(admin: Client, site: Instance) -> None:
    assert admin.post(f"{PAGE}delete/", {"typed": "acme", "seen": "0"}).status_code == 422
    upgrade = make_upgrade(instance=site)
    refused = admin.post(f"{PAGE}delete/", {"typed": "acme-live", "seen": "0"})
    upgrade.delete()
    admin.post(f"{PAGE}delete/", {"typed": "acme-live", "reason": "Moved away", "seen": "0"})

    assert refused.status_code == 409
    assert "acme-live cannot be deleted: it has upgrades." in text(refused)
    assert not Instance.objects.exists()
    assert [(change.kind, change.reason) for change in Change.objects.all()] == [("site.deleted", "Moved away")]


# Parked


def test_p11_a_parked_site_says_why_and_a_person_lets_the_nights_try_again(writer: Client, site: Instance) -> None:
    failed = make_upgrade(
        instance=site, build=make_build("4.3", maturity=Maturity.STABLE), outcome=Outcome.ROLLED_BACK,
        end_code=EndCode.STEP_FAILED, end_values={"from": "4.1", "step": "Migrate"}, first_error="no space",
    )  # fmt: skip
    address = f"{PAGE}retry/{failed.pk}/"

    page = text(writer.get(PAGE))
    asked = text(writer.get(address))
    refused = writer.post(address, {"note": " ", "seen": "0"})
    answer = writer.post(address, {"note": "More disk", "seen": "0"}, follow=True)

    assert "The nights do not try 4.3 here again until a person decides." in page
    assert "no space" in page
    assert "tonight this site upgrades from 4.1 to 4.3." in asked
    assert refused.status_code == 422
    failed.refresh_from_db()
    assert failed.retry_note == "More disk"
    assert changes() == ["site.unparked"]
    assert answer.context["parked"] is None
    assert writer.get(address).status_code == 302


# Customers


def test_a_customer_is_added_and_renamed_and_its_page_has_its_history(writer: Client) -> None:
    writer.post("/customers/new/", {"name": "Acme", "slug": "acme", "seen": "0"})
    seen = str(last_seen(Customer.objects.get()))
    answer = writer.post("/customers/acme/edit/", {"name": "Acme Ltd", "slug": "acme", "seen": seen}, follow=True)

    assert [line.change.kind for line in answer.context["lines"]] == ["customer.changed", "customer.added"]
    assert 'href="/freezes/new/?customer=acme"' in text(answer)
    assert writer.post("/customers/acme/edit/", {"name": "X", "slug": "acme", "seen": seen}).status_code == 409
    assert writer.post("/customers/new/", {"name": "Acme", "slug": "acme", "seen": "0"}).status_code == 422
    assert writer.post("/customers/new/", {"name": "New", "slug": "new", "seen": "0"}).status_code == 422
    assert Customer.objects.get().name == "Acme Ltd"


def test_p8_the_page_of_a_customer_lists_its_freezes(writer: Client, site: Instance) -> None:
    terms = {"name": "Year end", "scope": "customer", "customer": site.customer, "zone": "UTC", "reason": "Books"}
    open_freeze(terms | {"starts_at": NOW, "ends_at": NOW.replace(day=30)}, actor=COMMAND, now=NOW)

    [(freeze, pause, _url)] = writer.get("/customers/acme/").context["freezes"]

    assert (freeze.name, pause.span.starts_at) == ("Year end", NOW)


def test_a_customer_or_host_with_sites_is_not_deleted(admin: Client, site: Instance) -> None:
    for address, name in (("/customers/acme/delete/", "acme"), ("/hosts/web1/delete/", "web1")):
        answer = admin.post(address, {"typed": name})

        assert answer.status_code == 409
        assert "it has sites" in text(answer)
    site.delete()
    for address, name in (("/customers/acme/delete/", "acme"), ("/hosts/web1/delete/", "web1")):
        assert admin.post(address, {"typed": name, "seen": "0"}).status_code == 302
    assert not Customer.objects.exists()
    assert not Host.objects.exists()


# Hosts


def host_values(host: Host, **values: str) -> dict[str, str]:
    shown = {"name": host.name, "address": host.address, "port": "22", "user": host.user, "max_parallel": "2"}
    return shown | {"max_connections": "10", "enabled": "on", "seen": str(last_seen(host))} | values


def test_t3_switching_a_host_off_says_what_it_does_to_tonight(admin: Client, site: Instance) -> None:
    off = host_values(site.host)
    del off["enabled"]

    preview = text(admin.post("/hosts/web1/edit/", off | {"preview": "1"}, headers=HTMX))
    admin.post("/hosts/web1/edit/", off | {"reason": "New disks"})
    back = text(admin.post("/hosts/web1/edit/", host_values(site.host, preview="1"), headers=HTMX))

    assert "tonight upgrades 0 sites on this host, instead of 1.</b> It changes for acme-live." in preview
    assert "tonight upgrades 1 site on this host, instead of 0." in back
    assert not Host.objects.get().enabled
    assert [(change.kind, change.reason) for change in Change.objects.all()] == [("host.changed", "New disks")]


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"name": "new"}, "name", "is the address of a page"),
        ({"port": "70000"}, "port", "less than or equal to 65535"),
        ({"max_parallel": "9"}, "max_parallel", "less than or equal to 8"),
        ({"address": ""}, "address", "This field is required."),
    ],
)
def test_a_host_that_cannot_be_is_refused_beside_the_field(
    admin: Client, typed: dict[str, str], field: str, said: str
) -> None:
    answer = admin.post("/hosts/new/", host_values(Host(name="web9", address="web9.example.net")) | typed)

    assert answer.status_code == 422
    assert said in " ".join(answer.context["form"].errors[field])
    assert not Host.objects.exists()


def test_a_host_is_added_and_its_page_has_its_history(admin: Client) -> None:
    answer = admin.post("/hosts/new/", host_values(Host(name="web9", address="web9.example.net")), follow=True)

    assert "web9 is added. Nothing runs there before a person approved its key." in text(answer)
    assert [line.change.kind for line in answer.context["lines"]] == ["host.added"]


def test_t7_a_host_that_someone_else_changed_is_not_saved_over(admin: Client, site: Instance) -> None:
    old = host_values(site.host, user="other")
    change_host(site.host, {"user": "deploy"}, actor=COMMAND, now=NOW)

    assert admin.post("/hosts/web1/edit/", old).status_code == 409
    assert Host.objects.get().user == "deploy"


def test_a_host_and_a_customer_name_a_key_of_the_environment(admin: Client, site: Instance, settings: Settings) -> None:
    settings.SSH_IDENTITIES = {"": KeyFile(Path("/k")), "bank": KeyFile(Path("/b")), "deploy": KeyFile(Path("/d"))}
    assert '<option value="deploy">deploy</option>' in admin.get("/hosts/web1/edit/").content.decode()

    unknown = admin.post("/hosts/web1/edit/", host_values(site.host, identity="root"))
    admin.post("/hosts/web1/edit/", host_values(site.host, identity="deploy"))
    admin.post("/customers/acme/edit/", {"name": "Acme", "slug": "acme", "identity": "bank", "seen": "0"})

    assert list(unknown.context["form"].errors) == ["identity"]
    assert (Host.objects.get().identity, Customer.objects.get().identity) == ("deploy", "bank")
    assert "deploy" in text(admin.get("/hosts/web1/"))
    del settings.SSH_IDENTITIES["deploy"]
    admin.post("/hosts/web1/edit/", host_values(site.host, identity="deploy", user="other"))
    assert (Host.objects.get().identity, Host.objects.get().user) == ("deploy", "other")
