"""The demo's fleet as data, and as the file that `import_fleet` reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

USER = "deploy"
ADDRESS = "127.0.0.1"
UNREACHABLE_HOST = "app-bom-01"
LACKING_DISK = "tamarind-test"
HELD = "banyan-live"
PLUGIN_SITE = "lindqvist-live"
TRAINING = "cascadia-training"  # follows alpha at first, later release, which it is then ahead of
MAX_PARALLEL = 3
MIN_FREE_MB = 50

CUSTOMERS = {
    "banyan": "Banyan Insurance",
    "brightwater": "Brightwater Clinics",
    "cascadia": "Cascadia Energy",
    "halvorsen": "Halvorsen Shipping",
    "kestrel": "Kestrel Logistics",
    "lindqvist": "Lindqvist & Partner",
    "mapleridge": "Maple Ridge Schools",
    "novara": "Novara Foods",
    "ostrov": "Ostrov Steel",
    "pampa": "Pampa Agro",
    "tamarind": "Tamarind Hotels",
    "verdigris": "Verdigris Museums",
}

HOSTS = (
    "app-ams-01",
    "app-ams-02",
    "app-bom-01",
    "app-cpt-01",
    "app-dub-01",
    "app-fra-01",
    "app-pdx-01",
    "app-yyz-01",
)


@dataclass(frozen=True)
class Site:
    slug: str
    host: str
    target: str  # a channel, or the version of a pin
    first_version: str  # what is installed before the first night
    tags: str = ""
    window: str = ""

    @property
    def customer(self) -> str:
        return self.slug.partition("-")[0]

    @property
    def kind(self) -> Literal["live", "test"]:
        return "live" if self.slug.endswith("-live") else "test"

    @property
    def plugins(self) -> str:
        return "csv_export, legacy_reports" if self.slug == PLUGIN_SITE else "csv_export"


# All but the Americans open at the same moment, late in the night, in summer as in winter.
DUBLIN = "daily 03:30-06:00 Europe/Dublin"
AMSTERDAM = "daily 04:30-07:00 Europe/Amsterdam"
ROME = "daily 04:30-07:00 Europe/Rome"
LOS_ANGELES = "daily 17:30-22:00 America/Los_Angeles"

SITES = (
    Site("banyan-live", "app-bom-01", "stable", "4.19.5"),
    Site("banyan-test", "app-bom-01", "beta", "4.20.0"),
    Site("brightwater-ie-live", "app-dub-01", "stable", "4.19.4", "healthcare", DUBLIN),
    Site("brightwater-test", "app-dub-01", "beta", "4.20.0", "healthcare"),
    Site("brightwater-uk-live", "app-dub-01", "stable", "4.19.5", "healthcare", DUBLIN),
    Site("cascadia-live", "app-pdx-01", "stable", "4.19.5", window=LOS_ANGELES),
    Site("cascadia-test", "app-pdx-01", "beta", "4.20.0"),
    Site(TRAINING, "app-pdx-01", "alpha", "4.20.0"),
    Site("halvorsen-live", "app-ams-01", "release", "4.19.6"),
    Site("halvorsen-test", "app-ams-01", "beta", "4.20.0"),
    Site("halvorsen-training", "app-ams-01", "beta", "4.20.0"),
    Site("kestrel-de-live", "app-fra-01", "stable", "4.19.5"),
    Site("kestrel-nl-live", "app-ams-02", "release", "4.19.6"),
    Site("kestrel-test", "app-ams-02", "alpha", "4.20.0"),
    Site("lindqvist-live", "app-ams-02", "beta", "4.20.0", "canary", AMSTERDAM),
    Site("lindqvist-test", "app-ams-02", "alpha", "4.20.0"),
    Site("mapleridge-live", "app-yyz-01", "stable", "4.19.4", "canary"),
    Site("mapleridge-test", "app-yyz-01", "alpha", "4.20.0"),
    Site("novara-es-live", "app-fra-01", "stable", "4.19.5"),
    Site("novara-it-live", "app-fra-01", "stable", "4.19.4", window=ROME),
    Site("novara-test", "app-fra-01", "beta", "4.20.0"),
    Site("ostrov-live", "app-fra-01", "4.18.9", "4.18.9"),
    Site("ostrov-test", "app-fra-01", "beta", "4.20.0"),
    Site("pampa-live", "app-pdx-01", "stable", "4.19.4"),
    Site("pampa-test", "app-pdx-01", "release", "4.19.6"),
    Site("tamarind-cape-live", "app-cpt-01", "stable", "4.19.5"),
    Site("tamarind-durban-live", "app-cpt-01", "stable", "4.19.4"),
    Site("tamarind-test", "app-cpt-01", "beta", "4.20.0"),
    Site("verdigris-live", "app-dub-01", "release", "4.19.6"),
    Site("verdigris-test", "app-dub-01", "beta", "4.20.0"),
)


@dataclass(frozen=True)
class Places:
    """Where everything of one demo lies and listens. `ports` are by name of host or site."""

    root: Path
    ports: dict[str, int]

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def fleet_file(self) -> Path:
        return self.root / "fleet.json"

    @property
    def hosts_config(self) -> Path:
        return self.root / "hosts.json"

    @property
    def hosts_pid(self) -> Path:
        return self.root / "run" / "hosts.pid"

    @property
    def hosts_log(self) -> Path:
        return self.root / "run" / "hosts.log"

    @property
    def client_key(self) -> Path:
        return self.root / "keys" / "releasemgr"

    def host_key(self, host: str) -> Path:
        return self.root / "keys" / host

    def home(self, host: str) -> Path:
        return self.root / "hosts" / host

    def site(self, site: Site) -> Path:
        return self.home(site.host) / "sites" / site.slug

    def url(self, site: Site) -> str:
        return f"http://{ADDRESS}:{self.ports[site.slug]}/"


def as_import(places: Places) -> dict[str, list[dict[str, Any]]]:
    """What `import_fleet` takes. The keys of the hosts must be there."""
    return {
        "customers": [{"slug": slug, "name": name} for slug, name in CUSTOMERS.items()],
        "hosts": [_host(name, places) for name in HOSTS],
        "sites": [_site(site, places) for site in SITES],
    }


def write_import(places: Places) -> None:
    places.fleet_file.write_text(json.dumps(as_import(places), indent=2, ensure_ascii=False) + "\n")


def _host(name: str, places: Places) -> dict[str, Any]:
    public = places.host_key(name).with_suffix(".pub").read_text().split()
    return {
        "name": name,
        "address": ADDRESS,
        "port": places.ports[name],
        "user": USER,
        "host_key": " ".join(public[:2]),
        "max_parallel": MAX_PARALLEL,
    }


def _site(site: Site, places: Places) -> dict[str, Any]:
    url = places.url(site)
    return {
        "slug": site.slug,
        "customer": site.customer,
        "host": site.host,
        "kind": site.kind,
        "path": str(places.site(site)),
        "url": url,
        "recipe": "symlink",
        "target": site.target,
        "health_url": f"{url}health/",
        "version_url": f"{url}version/",
        "backup_command": 'sh "$SITE_PATH/current/hooks/backup"',
        "migrate_command": "sh hooks/migrate",
        "migrate_undo_command": "sh hooks/migrate undo",
        "restart_command": 'sh "$SITE_PATH/current/hooks/restart"',
        "min_free_mb": MIN_FREE_MB,
        "health_timeout_s": 6 if site.slug == PLUGIN_SITE else 10,  # the one that is not going to answer
        "tags": site.tags,
        "window": site.window,
    }
