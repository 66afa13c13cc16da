"""import_fleet: all or nothing, every error with its place, and a second run does nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.exceptions import FleetInvalid
from instances.fleet_files import COLUMNS, CUSTOMER_COLUMNS, HOST_COLUMNS, SITE_KEYS, read_fleet
from instances.fleet_import import Fate, FleetReport, import_fleet
from instances.models import Customer, Host, Instance, SiteWindow, Tag, Target, TargetChange
from instances.services import set_target, windows_of
from instances.window_text import format_windows
from releasemgr.lib.actors import COMMAND, IMPORT, Origin
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of, text_of
from tests.factories import HOST_KEY, NOW, make_build, make_host
from tests.together import run_together

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parent.parent.parent / "docs" / "import.md").read_text()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBRMxgUdQRJBmnWCqR4q0Z1Gk4Wn6oHZbUe3l6p6oQ4h"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
SITE: dict[str, Any] = {"slug": "shop", "customer": "acme", "host": "web1", "kind": "live", "path": "/srv/shop"}
CUSTOMER: dict[str, Any] = {"slug": "acme", "name": "ACME Ltd"}
HOST: dict[str, Any] = {"name": "web1", "address": "web1.example.net"}


def example(kind: str) -> str:
    """What docs/import.md shows."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: object, name: str = "fleet.json") -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def fleet(**values: Any) -> dict[str, Any]:
    return {"customers": [CUSTOMER], "hosts": [HOST], "sites": [SITE | values]}


def bring_in(path: Path) -> FleetReport:
    return import_fleet(path, actor=IMPORT, now=NOW)


def errors_of(path: Path) -> list[str]:
    before = everything()
    with pytest.raises(FleetInvalid) as refused:
        bring_in(path)
    assert everything() == before, "a refused file changes nothing"
    return refused.value.errors


def everything() -> list[list[dict[str, Any]]]:
    models: list[Any] = [Customer, Host, Instance, TargetChange, Tag, SiteWindow, Change]
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_examples_of_the_manual_say_the_same_and_a_second_run_does_nothing(write: Any, kind: str) -> None:
    path = write(example(kind), f"fleet.{kind}")

    report = bring_in(path)

    assert set(report.sites.values()) == {Fate.CREATED}
    assert report.pinned_keys == ["web1"]
    assert [(one.slug, one.name) for one in Customer.objects.all()] == [("acme", "ACME Ltd"), ("globex", "Globex")]
    web1, web2 = Host.objects.order_by("name")
    assert (web1.address, web1.port, web1.user, web1.host_key) == ("web1.example.net", 22, "deploy", KEY)
    assert (web1.key_trusted, web1.host_key_approved_at, web2.key_trusted) == (True, NOW, False)
    assert (web2.user, web2.max_parallel) == ("releasemgr", 2)
    shop = Instance.objects.get(slug="acme-shop")
    assert (shop.customer.slug, shop.host, shop.path, shop.url) == (
        "acme", web1, "/srv/acme-shop", "https://shop.acme.example/",
    )  # fmt: skip
    assert (shop.health_url, shop.restart_command) == (
        "http://localhost:8080/health", "systemctl --user restart acme-shop",
    )  # fmt: skip
    assert shop.health_timeout_s == 60
    before = everything()

    again = bring_in(path)

    assert everything() == before
    assert {*again.customers.values(), *again.hosts.values(), *again.sites.values()} == {Fate.UNCHANGED}
    assert (again.pinned_keys, again.kept_targets) == ([], [])


def test_t1_each_new_site_has_its_target_and_a_record_of_it(write: Any) -> None:
    bring_in(write(example("csv"), "fleet.csv"))

    changes = {change.instance.slug: change for change in TargetChange.objects.all()}
    assert {slug: change.after for slug, change in changes.items()} == {
        "acme-shop": Target(channel="release"),
        "acme-shop-test": Target(channel="beta"),
        "globex": Target(channel="stable"),
    }
    for change in changes.values():
        assert (change.before, change.origin, change.by, change.at) == (None, Origin.IMPORT, None, NOW)


def test_t1_without_a_target_a_test_site_follows_beta(write: Any) -> None:
    bring_in(write(fleet(kind="TEST")))

    assert Instance.objects.get().target == Target(channel="beta")


def test_a_target_may_be_a_version(write: Any) -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE)

    bring_in(write(fleet(target="4.2.0")))

    assert Instance.objects.get().target == Target(build=build)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("4.9", "No build 4.9 is registered."),
        ("prod", "is not a version"),
        ("4.1", "was withdrawn"),
        ("candidate", "is not a version"),
    ],
)
def test_a_target_that_may_not_be_set_is_an_error(write: Any, target: str, words: str) -> None:
    make_build("4.1", withdrawn_at=NOW)

    (error,) = errors_of(write(fleet(target=target)))

    assert error.startswith("sites[0].target: ")
    assert words in error
    assert error.endswith("A target is a channel or the version of a build.")


def test_a_changed_file_changes_what_differs_and_leaves_what_it_does_not_name(write: Any) -> None:
    bring_in(write(fleet(restart_command="restart shop", recipe_values="PACKAGE='acme [pdf]'")))
    assert Instance.objects.get(slug="shop").own_values == {"PACKAGE": "acme [pdf]"}
    Instance.objects.update(notes="Ask Jane first")

    report = bring_in(write(fleet(path="/srv/new", min_free_mb=500)))

    assert report.sites == {"shop": Fate.CHANGED}
    assert report.customers == {"acme": Fate.UNCHANGED}
    row = Instance.objects.get()
    assert (row.path, row.min_free_mb, row.restart_command, row.notes) == (
        "/srv/new", 500, "restart shop", "Ask Jane first",
    )  # fmt: skip
    assert TargetChange.objects.count() == 1


def test_a_target_that_someone_set_is_never_overwritten(write: Any) -> None:
    bring_in(write(fleet(target="release")))
    set_target(Instance.objects.get(), Target(channel="alpha"), actor=COMMAND, now=NOW)

    report = bring_in(write(fleet(target="stable")))

    assert Instance.objects.get().target == Target(channel="alpha")
    assert report.kept_targets == ["shop"]
    assert TargetChange.objects.count() == 2


def test_a_target_that_only_imports_set_follows_the_file(write: Any) -> None:
    bring_in(write(fleet(target="release")))

    report = bring_in(write(fleet(target="stable")))

    assert report.sites == {"shop": Fate.CHANGED}
    change = TargetChange.objects.first()
    assert change
    assert (change.before, change.after) == (Target(channel="release"), Target(channel="stable"))
    assert change.origin == Origin.IMPORT


def test_u6_a_key_is_pinned_for_a_host_without_one_and_a_comment_is_left_off(write: Any) -> None:
    make_host("web1", host_key="", offered_key=KEY)
    data = fleet()
    data["hosts"] = [{"name": "web1", "host_key": f"{KEY} root@web1"}]

    report = bring_in(write(data))

    host = Host.objects.get()
    assert report.pinned_keys == ["web1"]
    assert (host.host_key, host.offered_key, host.key_trusted) == (KEY, "", True)


def test_u6_a_key_that_is_not_the_pinned_one_is_an_error(write: Any) -> None:
    make_host("web1", host_key=OTHER_KEY)
    data = fleet()
    data["hosts"] = [HOST | {"host_key": KEY}]

    (error,) = errors_of(write(data))

    assert error == "hosts[0].host_key: web1 has another key pinned. Approve a changed key on its page."


@pytest.mark.parametrize("key", ["AAAA", "ssh-ed25519", "ssh-rsa " + KEY.split()[1], "ssh-ed25519 %%%", HOST_KEY[:-30]])
def test_u6_what_is_not_a_key_is_an_error(write: Any, key: str) -> None:
    data = fleet()
    data["hosts"] = [HOST | {"host_key": key}]

    errors = errors_of(write(data))

    assert errors == ["hosts[0].host_key: is not a public key. It looks like “ssh-ed25519 AAAAC3Nza…”."]


def test_all_errors_are_told_at_once_each_with_its_place(write: Any) -> None:
    data = {
        "customers": [CUSTOMER],
        "hosts": [HOST | {"port": 99999}, {"name": "web2"}],
        "sites": [
            SITE,
            SITE | {"slug": "other", "host": "web9"},
            SITE | {"slug": "third", "kind": "prod"},
            SITE | {"slug": "fourth", "host": "web2", "path": "srv", "url": "not a url"},
            SITE | {"slug": "a slug", "path": "/srv/fifth"},
        ],
    }

    errors = errors_of(write(data))

    assert [error.split(":")[0] for error in errors] == [
        "hosts[0].port", "hosts[1].address", "sites[1].host", "sites[2].kind",
    ]  # fmt: skip
    assert "“web9” is neither in the file nor known." in errors[2]


def test_two_sites_at_one_path_of_a_host_are_an_error(write: Any) -> None:
    data = fleet()
    data["sites"].append(SITE | {"slug": "other"})

    (error,) = errors_of(write(data))

    assert error.startswith("sites[1]: ")
    assert "already exists" in error


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("[]", ["The file has to hold one JSON object with customers, hosts and sites."]),
        ('{"sites": [}', ["line 1, column 12: this is not JSON: Expecting value."]),
        ('{"sites": {}}', ["sites: has to be a list."]),
        ('{"sites": [1]}', ["sites[0]: has to be an object."]),
        ('{"sties": []}', ["sties: “sties” is not known. Is it sites?"]),
        ('{"sites": [], "sites": []}', ["The key “sites” is written twice in one object."]),
        ('{"customers": [{"name": "A"}]}', ["customers[0].slug: is missing."]),
        (
            '{"customers": [{"slug": "a", "nmae": "A"}, {"slug": "a"}]}',
            [
                "customers[0].nmae: “nmae” is not known. Is it name?",
                "customers[1].slug: a is in the file already (customers[0]).",
            ],
        ),
        (
            '{"hosts": [{"name": "a", "port": "22"}, {"name": 5}, {"name": "c", "port": true}]}',
            [
                "hosts[0].port: has to be a whole number.",
                "hosts[1].name: has to be text, in quotation marks.",
                "hosts[2].port: has to be a whole number.",
            ],
        ),
        (
            '{"customers": [{"slug": "a", "name": "\\ud800"}]}',
            ["customers[0].name: holds characters that are not text."],
        ),
        ("[" * 100_000, ["The file is nested too deeply."]),
    ],
)
def test_a_malformed_json_file_says_what_and_where(write: Any, content: str, errors: list[str]) -> None:
    assert errors_of(write(content)) == errors


HEAD = "slug,customer,host,host_address,host_port,kind,path"
ROW = "shop,acme,web1,web1.example.net,22,live,/srv/shop"


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\n{ROW}\n",
        f"{HEAD}\r\n{ROW}\r\n\r\n",
        f"{HEAD}\n\n{ROW}",
        f"{HEAD}\n{ROW}\n".replace(",", ";"),
        f"{HEAD}\n{ROW}\n".replace(",", "\t"),
        f"{HEAD.upper()}\n{ROW.replace('acme', ' acme ')}\n,,,,,,\n",
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv_is_read_as_spreadsheets_write_it(write: Any, content: str, bom: str) -> None:
    bring_in(write((bom + content).encode(), "fleet.csv"))

    row = Instance.objects.get()
    assert (row.slug, row.customer.slug, row.host.address, row.path) == (
        "shop",
        "acme",
        "web1.example.net",
        "/srv/shop",
    )


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("", [f"line 1, {name}: the column is missing." for name in ("slug", "customer", "host", "kind", "path")]),
        (
            f"{HEAD},pth,slug\n",
            ["line 1, pth: “pth” is not known. Is it path?", "line 1, slug: the column is there twice."],
        ),
        (f"{HEAD}\n{ROW}\nshort,row\n", ["line 3: has 2 cells, the first line has 7."]),
        (f"{HEAD}\n{ROW}\n,acme,web1,,,live,/srv/x\n", ["line 3, slug: is missing."]),
        (f'{HEAD}\n"{ROW}\n', ["line 2: this is not CSV: unexpected end of data."]),
        (f"{HEAD}\n{ROW}\n{ROW}\n", ["line 3, slug: shop is in the file already (line 2)."]),
        (
            f"{HEAD}\n{ROW}\nother,acme,web1,,23,live,/srv/other\n",
            ["line 3, host_port: 23 here, but 22 in line 2."],
        ),
        (f"{HEAD}\n{ROW.replace('22', 'abc')}\n", ["line 2, host_port: “abc” value must be an integer."]),
        (f"{HEAD}\n{ROW.replace('live', 'prod')}\n", ["line 2, kind: “prod” is not a kind. It is live or test."]),
        (
            f"{HEAD},recipe_values\n{ROW},PACKAGE\n",
            ["line 2, recipe_values: “PACKAGE” is not a value such as PACKAGE=acme; quote what has blanks in it."],
        ),
        (
            f'{HEAD},restart_command\n{ROW},"two\nlines"\nsecond,acme,web1,,,live,srv,\n',
            [
                "line 2, restart_command: One line, without control characters.",
                "line 4, path: An absolute path, without a slash at its end.",
            ],
        ),
    ],
)
def test_a_malformed_csv_file_says_which_line_and_column(write: Any, content: str, errors: list[str]) -> None:
    assert errors_of(write(content, "fleet.csv")) == errors


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (f"{HEAD}\n{ROW}\nCaf\xe9".encode("latin-1"), "line 3: the byte 0xe9 is not UTF-8. Save the file as UTF-8"),
        (f"{HEAD}\n{ROW}\n".encode("utf-16"), "line 1: the byte 0xff is not UTF-8."),
        (f"{HEAD}\n{ROW}\n".encode("utf-16-le"), "line 1: contains a NUL character."),
    ],
)
def test_a_file_in_another_encoding_says_so(write: Any, content: bytes, error: str) -> None:
    (told,) = errors_of(write(content, "fleet.csv"))

    assert told.startswith(error)


def test_another_ending_and_a_missing_file_are_refused(write: Any, tmp_path: Path) -> None:
    assert errors_of(write("", "fleet.xlsx")) == ["fleet.xlsx ends neither in .csv nor in .json."]
    assert errors_of(tmp_path / "none.csv") == [f"{tmp_path}/none.csv cannot be read: No such file or directory."]


NIGHTS = "Mon-Fri 01:00-04:00 Europe/Dublin"


def test_tags_and_windows_are_imported_and_the_same_again_is_no_change(write: Any) -> None:
    path = write(fleet(tags="canary, Healthcare", window=f"{NIGHTS}; Sat 22:00-02:00 UTC"))

    assert bring_in(path).sites == {"shop": Fate.CREATED}

    site = Instance.objects.get()
    assert [tag.name for tag in site.tags.all()] == ["canary", "healthcare"]
    assert format_windows(windows_of(site)) == f"{NIGHTS}; Sat 22:00-02:00 UTC"
    assert bring_in(path).sites == {"shop": Fate.UNCHANGED}
    report = bring_in(write(fleet(tags="canary", window=NIGHTS)))
    assert report.sites == {"shop": Fate.CHANGED}
    assert [tag.name for tag in site.tags.all()] == ["canary"]
    assert format_windows(windows_of(site)) == NIGHTS
    assert bring_in(write(fleet())).sites == {"shop": Fate.UNCHANGED}
    assert site.tags.count() == 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"tags": "a b!"}, "sites[0].tags: “b!” is not a tag: letters, digits, hyphens, underscores."),
        (
            {"window": f"{NIGHTS}; Mon 01:00-02:00 Mars/Olympus"},
            "sites[0].window: “Mon 01:00-02:00 Mars/Olympus”: “Mars/Olympus” is not a time zone.",
        ),
    ],
)
def test_p6_tags_and_windows_that_may_not_be_are_errors(write: Any, values: dict[str, str], error: str) -> None:
    assert errors_of(write(fleet(**values))) == [error]
    assert not Tag.objects.exists()


def test_an_import_writes_one_change_for_each_thing_and_act(write: Any) -> None:
    bring_in(write(fleet(tags="canary", window=NIGHTS)))

    added = {change.kind: change for change in Change.objects.all()}
    assert set(added) == {"customer.added", "host.added", "site.added"}
    site = added["site.added"]
    assert (site.origin, site.after["target"], site.after["tags"], site.after["window"], site.after["host"]) == (
        "import", {"channel": "release"}, ["canary"], NIGHTS, "web1",
    )  # fmt: skip
    bring_in(write(fleet(tags="late", path="/srv/new", target="stable")))
    changed = {change.kind: (change.before, change.after) for change in Change.objects.exclude(kind__endswith="added")}
    assert changed == {
        "site.changed": ({"path": "/srv/shop"}, {"path": "/srv/new"}),
        "tags.changed": ({"tags": ["canary"]}, {"tags": ["late"]}),
        "target.changed": ({"channel": "release"}, {"channel": "stable"}),
    }


def test_a_pin_from_a_file_has_a_reason(write: Any) -> None:
    """T2."""
    make_build("4.2")

    bring_in(write(fleet(target="4.2")))

    assert Instance.objects.get().pin_reason == "Imported."


def test_every_key_is_explained_in_the_manual() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", PAGE))

    assert set(COLUMNS) <= explained
    assert {*CUSTOMER_COLUMNS.values(), *HOST_COLUMNS.values(), *SITE_KEYS} <= explained


def test_a_second_run_costs_the_same_queries_for_any_number_of_sites(write: Any) -> None:
    def queries_of_a_second_run(number: int) -> int:
        data = fleet()
        data["sites"] = [
            SITE | {"slug": f"shop{one}", "path": f"/srv/{one}", "tags": "a", "window": NIGHTS} for one in range(number)
        ]
        bring_in(write(data))
        with CaptureQueriesContext(connection) as again:
            bring_in(write(data))
        return len(again)

    assert queries_of_a_second_run(2) == queries_of_a_second_run(20)


@pytest.mark.django_db(transaction=True)
def test_one_file_imported_twice_at_the_same_moment_is_imported_once(write: Any) -> None:
    path = write(example("json"))

    def run() -> str:
        try:
            report = bring_in(path)
        except FleetInvalid as refused:
            return refused.errors[0]
        return ",".join(sorted(set(report.sites.values())))

    answers = run_together(run, run)

    assert answers.count("created") == 1
    assert set(answers) - {"created"} <= {
        "unchanged", "Somebody else changed the fleet at the same time. Import the file again.",
    }  # fmt: skip
    assert (Instance.objects.count(), TargetChange.objects.count()) == (3, 3)


def test_the_command_prints_what_it_did(write: Any) -> None:
    path = write(example("csv"), "fleet.csv")

    assert text_of("import_fleet", path).splitlines() == [
        "           created  changed  unchanged",
        "customers  2        0        0",
        "hosts      2        0        0",
        "sites      3        0        0",
        "Keys pinned: web1.",
    ]
    set_target(Instance.objects.get(slug="globex"), Target(channel="alpha"), actor=COMMAND, now=NOW)
    again = json_of("import_fleet", path)
    assert again["sites"] == {"created": 0, "changed": 0, "unchanged": 3}
    assert (again["pinned_keys"], again["kept_targets"]) == ([], ["globex"])
    assert "Targets left as someone set them: globex." in text_of("import_fleet", path)


def test_the_command_shows_fifty_errors_and_counts_the_rest(write: Any) -> None:
    data = fleet()
    data["sites"] = [SITE | {"slug": f"shop{number}", "kind": "prod"} for number in range(60)]

    lines = refusal_of("import_fleet", write(data)).splitlines()

    assert lines[0] == "Nothing was imported: 60 errors."
    assert lines[1] == "sites[0].kind: “prod” is not a kind. It is live or test."
    assert len(lines) == 52
    assert lines[-1] == "… and 10 more."
    assert not Customer.objects.exists()


def test_reading_a_file_needs_no_database(write: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert len(read_fleet(write(example("json"))).sites) == 3


def test_p10_an_import_takes_nothing_back_that_a_site_reported_meanwhile(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_in(write(fleet()))

    def meanwhile(site: Instance) -> None:
        Instance.objects.update(reported_version="2.0", reported_key="key of 2.0", reported_at=NOW)

    monkeypatch.setattr(Instance, "full_clean", meanwhile)
    bring_in(write(fleet(path="/srv/elsewhere")))
    site = Instance.objects.get()
    assert (site.path, site.reported_version, site.reported_key) == ("/srv/elsewhere", "2.0", "key of 2.0")
