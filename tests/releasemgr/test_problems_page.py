"""R7 on screen: the known problems, what each affects, and what each act on one does tonight before it is saved."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.choices import ProblemState
from builds.maturity import Maturity, Severity
from builds.models import Acknowledgement, Build, Problem
from builds.services import change_problem, fix_problem
from instances.choices import Kind
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from tests.factories import NOW, make_build, make_instance, make_problem
from upgrades.services.planning import plan_night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


@pytest.fixture(autouse=True)
def builds() -> dict[str, Build]:
    """release is 4.3, stable 4.1."""
    stages = {"4.1": Maturity.STABLE, "4.2": Maturity.RELEASE, "4.3": Maturity.RELEASE, "4.4": Maturity.ALPHA}
    return {version: make_build(version, maturity=stage) for version, stage in stages.items()}


def words(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def new_problem(**more: str) -> dict[str, str]:
    return {
        "severity": "blocker", "title": "Loses mail", "first_affected": "4.2", "url": "", "reason": "", **more,
    }  # fmt: skip


def test_the_list_says_what_each_problem_affects(manager: Client, builds: dict[str, Build]) -> None:
    problem = make_problem(builds["4.2"], severity=Severity.BLOCKER, title="Loses mail")
    make_instance(runs="4.2")
    make_instance(runs="4.3", kind=Kind.TEST)
    make_instance(runs="4.1")

    answer = manager.get("/problems/")

    row = answer.context["table"].rows[0]
    assert [row.get_cell(name) for name in ("builds", "channels")] == ["4.2 and later", "alpha, beta, release"]
    assert f'<a href="/sites/?problem={problem.pk}">2<' in row.get_cell("sites")
    assert [(view.label, view.count) for view in answer.context["views"]] == [
        ("Open", 1), ("Fixed", 0), ("Dismissed", 0),
    ]  # fmt: skip


def test_the_list_of_sites_can_be_narrowed_to_those_that_a_problem_affects(
    manager: Client, builds: dict[str, Build]
) -> None:
    problem = make_problem(builds["4.2"], fixed_in=builds["4.4"])
    for version in ("4.1", "4.2", "4.3.5", "4.4"):
        make_instance(f"on-{version.replace('.', '-')}", runs=version)

    table = manager.get(f"/sites/?problem={problem.pk}").context["table"]

    assert [row.record.slug for row in table.rows] == ["on-4-2", "on-4-3-5"]
    problem.fixed_in, problem.dismissed_at, problem.dismissed_reason = None, NOW, "No."
    problem.save()
    assert b"on-4-2" not in manager.get(f"/sites/?problem={problem.pk}").content


@pytest.mark.parametrize("address", ["/problems/", "/problems/{}/"])
def test_the_number_of_queries_does_not_grow(manager: Client, builds: dict[str, Build], address: str) -> None:
    first, counts = make_problem(builds["4.2"]), []
    for number in (2, 12):
        for _each in range(number):
            problem = make_problem(builds["4.2"])
            make_instance(runs="4.2")
            version = make_build(maturity=Maturity.BETA, version=f"4.3.{Build.objects.count()}")
            Acknowledgement.objects.create(
                problem=first, build=version, severity="minor", at=NOW, origin="page", reason="Known."
            )
            change_problem(problem, title="Other", actor=COMMAND, now=NOW)
        with CaptureQueriesContext(connection) as asked:
            manager.get(address.format(first.pk))
        counts.append(len(asked))

    assert counts[0] == counts[1] <= 45


def test_reporting_says_first_which_sites_wait_because_of_it(manager: Client) -> None:
    """P1: the preview and the plan after it agree."""
    make_instance("waits", runs="4.1", target_channel_id="release")
    make_instance("stays", runs="4.1", target_channel_id="stable")

    answer = manager.get("/problems/new/?severity=blocker&first_affected=4.3&title=", headers=HTMX)

    assert '<b class="strong">If saved:</b> 1 site waits tonight that would have upgraded.' in words(answer)
    assert ("waits" in words(answer), "stays" in words(answer)) == (True, False)
    assert not Problem.objects.exists()
    manager.post("/problems/new/", new_problem(first_affected="4.3"))
    assert {one.site.slug: str(one.code) for one in plan_night(NOW)[1]} == {
        "waits": "blocked_by_problem", "stays": "up_to_date",
    }  # fmt: skip


def test_reporting_records_who_and_leads_to_the_problem(manager: Client, release_manager: User) -> None:
    assert 'value="4.3" selected' in words(manager.get("/problems/new/?build=4.3"))

    answer = manager.post("/problems/new/", new_problem(url="https://bugs.example.net/7"))

    problem = Problem.objects.get()
    assert answer["Location"] == f"/problems/{problem.pk}/"
    assert (problem.opened_by, problem.severity, problem.first_affected.version) == (
        release_manager, "blocker", "4.2",
    )  # fmt: skip
    assert Change.objects.get().kind == "problem.reported"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"title": ""}, "title"), ({"title": "x" * 201}, "title"), ({"title": "a\x00b"}, "title"),
        ({"first_affected": ""}, "first_affected"), ({"first_affected": "9.9"}, "first_affected"),
        ({"first_affected": "\x00"}, "first_affected"), ({"severity": "bad"}, "severity"),
        ({"url": "javascript:alert(1)"}, "url"), ({"reason": "x" * 2001}, "reason"),
    ],
)  # fmt: skip
def test_a_form_that_is_refused_keeps_what_was_typed(manager: Client, more: dict[str, str], field: str) -> None:
    answer = manager.post("/problems/new/", new_problem(**more))

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert field == "title" or 'value="Loses mail"' in words(answer)
    assert not Problem.objects.exists()


def test_without_script_the_effect_is_shown_by_a_button(manager: Client) -> None:
    answer = manager.post("/problems/new/", new_problem(preview="1"))

    assert answer.status_code == 200
    assert "If saved:" in words(answer)
    assert not Problem.objects.exists()


def test_a_problem_shows_its_builds_its_sites_who_accepted_it_and_its_history(
    manager: Client, builds: dict[str, Build]
) -> None:
    problem = make_problem(builds["4.2"], title="Loses <b>mail</b>", url="https://bugs.example.net/7")
    make_instance(runs="4.3")
    manager.post(f"/problems/{problem.pk}/acknowledge/4.3/", {"reason": "Rare.", "seen": "0"})

    answer = manager.get(f"/problems/{problem.pk}/")

    context, html = answer.context, words(answer)
    assert [(one.version, one.means, one.acknowledged, one.use.live) for one in context["affected"]] == [
        ("4.4", ("alpha",), False, 0), ("4.3", ("beta", "release"), True, 1), ("4.2", (), False, 0),
    ]  # fmt: skip
    assert "Loses &lt;b&gt;mail&lt;/b&gt;" in html
    assert "Rare." in html
    assert "Problem acknowledged" in html


def test_a_fix_says_first_which_sites_go_on(manager: Client, builds: dict[str, Build]) -> None:
    problem = make_problem(builds["4.2"], severity=Severity.BLOCKER)
    make_instance("goes", runs="4.1", target_channel_id="release")
    address = f"/problems/{problem.pk}/fix/"

    preview = words(manager.get(f"{address}?fixed_in=4.3", headers=HTMX))
    assert "1 site upgrades tonight that would have stayed." in preview

    manager.post(address, {"fixed_in": "4.3", "reason": "New parser.", "seen": last_seen(problem)})
    problem.refresh_from_db()
    assert (problem.state, problem.fixed_in) == (ProblemState.FIXED, builds["4.3"])
    assert [str(one.code) for one in plan_night(NOW)[1]] == ["upgrade"]


def test_a_fix_before_the_problem_began_is_refused_beside_the_field(manager: Client, builds: dict[str, Build]) -> None:
    problem = make_problem(builds["4.2"])

    answer = manager.post(f"/problems/{problem.pk}/fix/", {"fixed_in": "4.1", "reason": "", "seen": "0"})

    assert answer.status_code == 422
    assert "4.1 is not newer than 4.2" in str(answer.context["form"].errors["fixed_in"])


def test_dismissing_needs_a_reason_and_says_that_a_person_promotes_from_then_on(
    manager: Client, builds: dict[str, Build], release_manager: User
) -> None:
    problem = make_problem(builds["4.2"], severity=Severity.BLOCKER)
    make_instance("goes", runs="4.1", target_channel_id="release")
    address = f"/problems/{problem.pk}/dismiss/"
    page = words(manager.get(address))
    assert "1 site upgrades tonight that would have stayed." in page
    assert "promoted by a person only" in page

    assert manager.post(address, {"reason": " ", "seen": "0"}).status_code == 422
    manager.post(address, {"reason": "Wrong data.", "seen": "0"})

    problem.refresh_from_db()
    assert (problem.dismissed_by, problem.dismissed_reason) == (release_manager, "Wrong data.")
    assert "Promoted by a person only." in words(manager.get("/builds/4.3/"))


def test_opening_again_says_first_what_waits(manager: Client, builds: dict[str, Build]) -> None:
    problem = make_problem(builds["4.2"], severity=Severity.BLOCKER, fixed_in=builds["4.3"])
    make_instance("waits", runs="4.1", target_channel_id="release")

    assert "1 site waits tonight" in words(manager.get(f"/problems/{problem.pk}/reopen/"))
    manager.post(f"/problems/{problem.pk}/reopen/", {"reason": "", "seen": "0"})

    problem.refresh_from_db()
    assert problem.state is ProblemState.OPEN


def test_acknowledging_says_first_what_goes_on_and_leads_back_to_the_promotion(
    manager: Client, builds: dict[str, Build], release_manager: User
) -> None:
    problem = make_problem(builds["4.2"], severity=Severity.BLOCKER)
    make_instance("goes", runs="4.1", target_channel_id="release")
    address = f"/problems/{problem.pk}/acknowledge/4.3/?to=stable"
    assert "1 site upgrades tonight that would have stayed." in words(manager.get(address))

    assert manager.post(address, {"reason": "", "seen": "0"}).status_code == 422
    answer = manager.post(address, {"reason": "Rare.", "seen": "0"})

    accepted = Acknowledgement.objects.get()
    assert (accepted.build, accepted.by, accepted.reason) == (builds["4.3"], release_manager, "Rare.")
    assert answer["Location"] == "/builds/4.3/promote/stable/"
    assert [str(one.code) for one in plan_night(NOW)[1]] == ["upgrade"]


@pytest.mark.parametrize("act", ["fix", "dismiss", "edit", "acknowledge"])
def test_t7_the_second_of_two_people_is_told_what_the_first_changed_and_saves_nothing(
    manager: Client, builds: dict[str, Build], act: str
) -> None:
    problem = make_problem(builds["4.2"])
    form = {"seen": "0", "reason": "Mine.", "fixed_in": "4.4"} | new_problem(title="My title", reason="Mine.")
    change_problem(problem, severity=Severity.BLOCKER, actor=COMMAND, now=NOW, reason="Worse.")

    address = f"/problems/{problem.pk}/{act}/" + ("4.3/" if act == "acknowledge" else "")
    answer = manager.post(address, form)

    assert answer.status_code == 409
    assert "meanwhile" in words(answer)
    assert "severity minor → blocker (“Worse.”). Nothing was saved." in words(answer)
    assert "Mine." in words(answer)
    assert Change.objects.count() == 1
    assert manager.post(address, form | {"seen": str(last_seen(problem))}).status_code == 302


def test_what_makes_no_sense_for_its_state_changes_nothing(manager: Client, builds: dict[str, Build]) -> None:
    problem = make_problem(builds["4.2"])
    fix_problem(problem, builds["4.3"], actor=COMMAND, now=NOW)

    answer = manager.post(f"/problems/{problem.pk}/dismiss/", {"reason": "No.", "seen": "0"}, follow=True)

    assert f"P-{problem.pk} is fixed. Nothing was changed." in words(answer)
    assert Problem.objects.get().state is ProblemState.FIXED
    gone = manager.get(f"/problems/{problem.pk}/acknowledge/4.4/", follow=True)
    assert "does not affect 4.4" in words(gone)


def test_the_navigation_counts_the_open_ones(manager: Client, builds: dict[str, Build]) -> None:
    make_problem(builds["4.2"])
    make_problem(builds["4.2"], dismissed_at=NOW, dismissed_reason="No.")

    entries = {entry.label: entry.badge for entry in manager.get("/problems/").context["shell"].navigation}

    assert entries["Problems"].text == "1"


def test_an_installation_without_problems_says_where_they_are_reported(manager: Client) -> None:
    assert "No problem is open" in words(manager.get("/problems/"))


def test_a_build_shows_its_problems_and_who_accepted_them(manager: Client, builds: dict[str, Build]) -> None:
    problem = make_problem(builds["4.2"], severity=Severity.BLOCKER, title="Loses mail")
    html = words(manager.get("/builds/4.3/"))
    assert "1 open problem" in html
    assert f"P-{problem.pk} Loses mail" in html

    manager.post(f"/problems/{problem.pk}/acknowledge/4.3/", {"reason": "Rare.", "seen": "0"})

    assert "Acknowledged by" in words(manager.get("/builds/4.3/"))
    assert "blocks promotion" in words(manager.get("/builds/"))
