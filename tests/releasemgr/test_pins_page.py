"""The list of all pins: whose, why, since when, how each ends, and how far behind (T2)."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from builds.models import Build
from instances.models import Instance, Target
from instances.pins import PinEnd
from instances.services import set_target
from releasemgr.lib.actors import COMMAND, Actor, Origin
from tests.factories import NOW, make_build, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DAY = timedelta(days=1)


@pytest.fixture
def builds() -> dict[str, Build]:
    stages = {"4.0": Maturity.STABLE, "4.1": Maturity.STABLE, "4.2": Maturity.STABLE, "4.3": Maturity.BETA}
    return {version: make_build(version, maturity=stage) for version, stage in stages.items()}


@pytest.fixture
def pins(builds: dict[str, Build], support: User) -> dict[str, Instance]:
    ours = Actor(Origin.PAGE, support)
    sites = {name: make_instance(name, runs="4.0", target_channel_id="stable") for name in ("old", "soon", "ahead")}
    set_target(sites["old"], Target(build=builds["4.0"]), actor=COMMAND, now=NOW - 100 * DAY, reason="=Plug-in")
    soon = Target(build=builds["4.1"], ends=PinEnd.ON_DATE, until=NOW + 3 * DAY)
    set_target(sites["soon"], soon, actor=ours, now=NOW - DAY, reason="Training")
    ahead = Target(build=builds["4.3"], ends=PinEnd.CAUGHT_UP)
    set_target(sites["ahead"], ahead, actor=ours, now=NOW - 2 * DAY, reason="A fix")
    return sites


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def listed(answer: Any) -> list[str]:
    return [row.record.slug for row in answer.context["table"].rows]


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.usefixtures("pins")
def test_every_pin_says_whose_it_is_how_it_ends_and_how_far_it_lags(reader: Client, support: User) -> None:
    answer = reader.get("/sites/pins/")

    assert listed(answer) == ["old", "ahead", "soon"]
    for words in (
        "2 builds behind stable, 4.2", "1 build behind stable, 4.2", "Ahead of stable, 4.2", "100 days",
        "until someone changes the target", "until Thu 26 Nov 12:00 UTC, then follows stable",
        "until stable is at 4.3 or later, then follows it", support.username,
    ):  # fmt: skip
        assert words in text(answer)


@pytest.mark.usefixtures("pins")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("view=soon", ["soon"]),
        ("view=never", ["old"]),
        ("q=ahe", ["ahead"]),
        ("owner=OWNER", ["ahead", "soon"]),
        ("owner=nobody", []),
        ("view=odd", []),
        ("sort=-target_build", ["ahead", "soon", "old"]),
    ],
)
def test_pins_are_found_by_owner_and_end(reader: Client, support: User, query: str, found: list[str]) -> None:
    answer = reader.get(f"/sites/pins/?{query.replace('OWNER', support.username)}")

    assert listed(answer) == found


@pytest.mark.usefixtures("pins")
def test_the_export_is_the_filtered_list_and_no_formula(reader: Client) -> None:
    answer = reader.get("/sites/pins.csv?view=never")

    lines = answer.content.decode().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("old,LIVE,")
    assert lines[1].endswith("'=Plug-in")
    assert ",stable,4.2,2," in lines[1]


def test_without_pins_the_page_says_so(reader: Client) -> None:
    assert "No site is pinned" in text(reader.get("/sites/pins/"))


def test_the_list_takes_as_many_queries_for_many_pins_as_for_few(reader: Client, builds: dict[str, Build]) -> None:
    counts = []
    for number in (2, 20):
        for _each in range(number):
            make_instance(target_build=builds["4.1"])
        with CaptureQueriesContext(connection) as queries:
            reader.get("/sites/pins/")
        counts.append(len(queries))

    assert counts[0] == counts[1]
