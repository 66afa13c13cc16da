"""The verbs for builds: R2, R3, R5, R6, R9, T8."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from builds import services
from builds.choices import Smoke
from builds.exceptions import (
    ArchiveRefused,
    ArtifactConflict,
    ArtifactRefused,
    BuildChanged,
    ChangelogRefused,
    CommitRefused,
    PolicyRefused,
    PromotionRefused,
    ReasonMissing,
    ReplacementMissing,
    SmokeRefused,
    SteppingStoneRefused,
    UnknownBuild,
    VersionRefused,
)
from builds.maturity import ChannelPolicy, GateCode, Maturity, channel_heads, resolve
from builds.models import Build, Channel, Promotion
from builds.services import (
    archive_build,
    mark_stepping_stone,
    promote_build,
    register_build,
    report_smoke,
    set_channel_policy,
    unmark_stepping_stone,
    withdraw_build,
)
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile
from tests.factories import NOW, make_build, make_problem
from tests.together import run_together

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "shop.tar.gz"
    path.write_bytes(b"the application")
    return path


def artefacts() -> list[str]:
    return sorted(path.name for path in settings.ARTIFACT_DIR.iterdir())


def stored(build: Build) -> Build:
    return Build.objects.get(pk=build.pk)


def test_r2_registering_keeps_the_artefact_under_its_checksum(artifact: Path) -> None:
    build, created = register_build("4.2.107", artifact, now=NOW, commit="abc123", changelog="* Faster")

    assert created
    assert build.sha256 == hashlib.sha256(b"the application").hexdigest()
    assert (build.artifact_size, build.stage, build.smoke) == (15, Maturity.CANDIDATE, Smoke.PENDING)
    assert build.artifact_path.read_bytes() == b"the application"
    assert artefacts() == [build.sha256]


def test_r2_the_same_version_and_bytes_again_changes_nothing(artifact: Path) -> None:
    first, _created = register_build("4.2.107", artifact, now=NOW, commit="abc123")

    again, created = register_build("4.2.107", artifact, now=NOW + DAY, commit="other", smoke=Smoke.PASSED)

    assert (again, created) == (first, False)
    assert (again.registered_at, again.commit, again.smoke) == (NOW, "abc123", Smoke.PENDING)
    assert Build.objects.count() == 1
    assert artefacts() == [first.sha256]


def test_r2_the_same_version_with_other_bytes_is_refused(artifact: Path) -> None:
    first, _created = register_build("4.2.107", artifact, now=NOW)
    artifact.write_bytes(b"another application")

    with pytest.raises(ArtifactConflict, match=first.sha256):
        register_build("4.2.107", artifact, now=NOW)

    assert stored(first).sha256 == first.sha256
    assert artefacts() == [first.sha256]


def test_r2_a_refused_artefact_that_another_build_has_stays(artifact: Path) -> None:
    first, _created = register_build("4.2.107", artifact, now=NOW)
    other = make_build("4.2.108", content=b"another application")
    artifact.write_bytes(b"another application")

    with pytest.raises(ArtifactConflict):
        register_build("4.2.107", artifact, now=NOW)

    assert artefacts() == sorted([first.sha256, other.sha256])


def test_r2_registering_again_puts_a_lost_artefact_back(artifact: Path) -> None:
    build, _created = register_build("4.2.107", artifact, now=NOW)
    build.artifact_path.unlink()

    register_build("4.2.107", artifact, now=NOW)

    assert build.facts().artifact_present


@pytest.mark.parametrize("spelling", ["1.0.0", "v1.0", "1"])
def test_r1_another_spelling_of_a_version_is_refused(artifact: Path, spelling: str) -> None:
    register_build("1.0", artifact, now=NOW)

    with pytest.raises(VersionRefused, match=rf"{spelling} is another spelling of 1\.0"):
        register_build(spelling, artifact, now=NOW)

    assert Build.objects.count() == 1


def test_r1_what_does_not_parse_is_refused_before_anything_is_copied(artifact: Path) -> None:
    with pytest.raises(VersionRefused, match="Accepted is"):
        register_build("banana", artifact, now=NOW)

    assert artefacts() == []


def test_r2_an_artefact_that_cannot_be_read_or_is_empty_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()

    for path in (empty, tmp_path / "missing", tmp_path):
        with pytest.raises(ArtifactRefused, match=str(path)):
            register_build("4.2.107", path, now=NOW)

    assert (Build.objects.count(), artefacts()) == (0, [])


@pytest.mark.parametrize("commit", ["a" * 65, "two\nlines", "nul\x00"])
def test_an_odd_commit_is_refused_with_a_sentence(artifact: Path, commit: str) -> None:
    with pytest.raises(CommitRefused, match="at most 64"):
        register_build("4.2.107", artifact, now=NOW, commit=commit)


def test_a_binary_changelog_is_refused_with_a_sentence(artifact: Path) -> None:
    with pytest.raises(ChangelogRefused, match="NUL"):
        register_build("4.2.107", artifact, now=NOW, changelog="\x00")


@pytest.mark.django_db(transaction=True)
def test_r2_of_two_artefacts_registered_at_once_for_one_version_one_wins(tmp_path: Path) -> None:
    def register(content: bytes) -> str:
        path = tmp_path / content.decode()
        path.write_bytes(content)
        try:
            register_build("4.2.107", path, now=NOW)
        except ArtifactConflict:
            return "refused"
        return "registered"

    outcomes = run_together(lambda: register(b"one"), lambda: register(b"two"))

    assert sorted(outcomes) == ["refused", "registered"]
    assert artefacts() == [Build.objects.get().sha256]


def test_build_named_finds_any_spelling() -> None:
    build = make_build("1.0")

    assert services.build_named("1.0.0") == build
    with pytest.raises(UnknownBuild, match=r"No build 2\.0"):
        services.build_named("2.0")
    with pytest.raises(VersionRefused):
        services.build_named("banana")


@pytest.mark.parametrize("smoke", [Smoke.PENDING, Smoke.RUNNING, Smoke.FAILED, Smoke.VOID])
def test_r3_only_passed_is_passed(smoke: Smoke) -> None:
    build = make_build("4.2.107", smoke=smoke)

    with pytest.raises(PromotionRefused) as refused:
        promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW)

    assert refused.value.judgement.failing[0].code is GateCode.SMOKE
    assert stored(build).stage is Maturity.CANDIDATE
    assert not Promotion.objects.exists()


def test_r3_the_database_refuses_a_build_in_a_channel_that_was_never_tested() -> None:
    with pytest.raises(IntegrityError, match="build_in_channel_was_smoke_tested"), transaction.atomic():
        make_build("4.2.107", smoke=Smoke.PENDING, maturity=Maturity.ALPHA)


@pytest.mark.parametrize("way", [[Smoke.FAILED], [Smoke.VOID], [Smoke.RUNNING], [Smoke.FAILED, Smoke.RUNNING]])
def test_r3_r6_a_build_that_fails_leaves_its_channel_and_starts_from_zero_when_it_passes(way: list[Smoke]) -> None:
    build = make_build("4.2.107", maturity=Maturity.RELEASE, channel_since=NOW - 10 * DAY)

    for smoke in way:
        build = report_smoke(build, smoke, now=NOW)
        assert not Build.objects.eligible_for(Maturity.RELEASE).exists()
        assert not services.judge_promotion(build, Maturity.STABLE, now=NOW + 30 * DAY).allowed
    build = report_smoke(build, Smoke.PASSED, now=NOW + DAY)

    assert Build.objects.eligible_for(Maturity.RELEASE).get() == build
    assert build.stage is Maturity.RELEASE
    assert services.judge_promotion(build, Maturity.STABLE, now=NOW + 2 * DAY).when == NOW + 15 * DAY


def test_r3_the_same_report_twice_does_not_restart_the_clock() -> None:
    build = make_build("4.2.107", maturity=Maturity.RELEASE)

    again = report_smoke(build, Smoke.PASSED, now=NOW)

    assert again.channel_since == build.channel_since


def test_r5_a_promotion_records_who_when_from_to_and_why(release_manager: User) -> None:
    build = make_build("4.2.107")

    promotion, moved = promote_build(
        build, Maturity.BETA, actor=Actor(Origin.PAGE, release_manager), now=NOW, reason=" Asked for by ACME "
    )

    assert moved
    recorded = Promotion.objects.get()
    assert recorded == promotion
    assert (recorded.build, recorded.by, recorded.at, recorded.origin) == (build, release_manager, NOW, Origin.PAGE)
    assert (recorded.from_maturity, recorded.to_maturity) == (Maturity.CANDIDATE, Maturity.BETA)
    assert recorded.reason == "Asked for by ACME"
    assert (stored(build).stage, stored(build).channel_since) == (Maturity.BETA, NOW)


def test_r5_a_promotion_done_twice_names_the_first() -> None:
    build = make_build("4.2.107")
    first, _moved = promote_build(build, Maturity.BETA, actor=COMMAND, now=NOW)

    again, moved = promote_build(build, Maturity.BETA, actor=COMMAND, now=NOW + DAY)

    assert (again, moved) == (first, False)
    assert stored(build).channel_since == NOW
    assert promote_build(make_build("4.3"), Maturity.CANDIDATE, actor=COMMAND, now=NOW) == (None, False)


def test_r5_r6_demoting_needs_a_reason_and_starts_the_clock_from_zero() -> None:
    build = make_build("4.2.107", maturity=Maturity.STABLE)

    with pytest.raises(ReasonMissing):
        promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW, reason=" ")
    promotion, moved = promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW, reason="Too early")

    assert moved
    assert promotion
    assert promotion.is_demotion
    assert services.judge_promotion(stored(build), Maturity.STABLE, now=NOW + DAY).when == NOW + 14 * DAY
    assert Promotion.objects.count() == 1


def test_r5_a_build_may_be_demoted_to_candidate() -> None:
    build = make_build("4.2.107", maturity=Maturity.BETA)

    promote_build(build, Maturity.CANDIDATE, actor=COMMAND, now=NOW, reason="Not ready")

    assert not Build.objects.eligible_for(Maturity.ALPHA).exists()


def test_r6_a_refused_promotion_changes_nothing() -> None:
    build = make_build("4.2.107", maturity=Maturity.RELEASE, channel_since=NOW - 13 * DAY)

    with pytest.raises(PromotionRefused, match="14 days in release"):
        promote_build(build, Maturity.STABLE, actor=COMMAND, now=NOW)

    assert stored(build).stage is Maturity.RELEASE
    assert not Promotion.objects.exists()
    _promotion, moved = promote_build(build, Maturity.STABLE, actor=COMMAND, now=NOW + DAY)
    assert moved


def test_r5_a_build_that_moved_in_between_is_not_moved_again() -> None:
    stale = make_build("4.2.107")
    promote_build(stored(stale), Maturity.ALPHA, actor=COMMAND, now=NOW)

    with pytest.raises(BuildChanged):
        stale.move(Maturity.BETA, actor=COMMAND, reason="", now=NOW)

    assert Promotion.objects.count() == 1


def test_r9_a_withdrawn_build_is_in_no_channel_and_enters_none(release_manager: User) -> None:
    build = make_build("4.2.107", maturity=Maturity.RELEASE)

    withdrawn, did = withdraw_build(build, actor=Actor(Origin.PAGE, release_manager), now=NOW, reason="Loses mail")

    assert did
    assert (withdrawn.withdrawn_at, withdrawn.withdrawn_by) == (NOW, release_manager)
    assert withdrawn.withdrawn_reason == "Loses mail"
    assert resolve([withdrawn.facts()], Maturity.ALPHA) is None
    with pytest.raises(PromotionRefused, match="was withdrawn"):
        promote_build(withdrawn, Maturity.STABLE, actor=COMMAND, now=NOW + 30 * DAY)


def test_r9_withdrawing_needs_a_reason_and_twice_keeps_the_first() -> None:
    build = make_build("4.2.107")
    with pytest.raises(ReasonMissing):
        withdraw_build(build, actor=COMMAND, now=NOW, reason="")
    withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail")

    again, did = withdraw_build(build, actor=COMMAND, now=NOW + DAY, reason="Another")

    assert not did
    assert (again.withdrawn_at, again.withdrawn_reason) == (NOW, "Loses mail")


def test_r2_a_quarantined_build_is_in_no_channel() -> None:
    build = make_build("4.2.107", maturity=Maturity.RELEASE)

    assert services.quarantine_build(build, now=NOW)
    assert not services.quarantine_build(build, now=NOW + DAY)

    assert stored(build).quarantined_at == NOW
    assert not Build.objects.eligible_for(Maturity.ALPHA).exists()


def test_r6_the_channels_and_their_soak_times_are_there_and_a_changed_one_stays() -> None:
    assert {channel.name: channel.soak.days for channel in Channel.objects.all()} == {
        "alpha": 0, "beta": 0, "release": 0, "stable": 14,
    }  # fmt: skip
    Channel.objects.filter(name="stable").update(soak=timedelta(days=7))

    services.ensure_channels()

    assert Channel.objects.get(name="stable").soak == timedelta(days=7)
    assert Channel.objects.count() == 4


def test_r11_a_judgement_costs_at_most_five_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    build = make_build("4.2.107")

    with django_assert_num_queries(4):
        services.judge_promotion(build, Maturity.STABLE, now=NOW)

    make_problem(build)
    with django_assert_num_queries(5):
        services.judge_promotion(build, Maturity.STABLE, now=NOW)


@pytest.mark.parametrize("smoke", [Smoke.RUNNING, Smoke.FAILED, Smoke.VOID])
def test_r3_a_build_in_a_channel_may_be_tested_again(smoke: Smoke) -> None:
    build = report_smoke(make_build("4.2", maturity=Maturity.RELEASE), smoke, now=NOW)
    assert (build.smoke, build.maturity) == (smoke, Maturity.RELEASE)


def test_r3_a_build_in_a_channel_does_not_wait_for_its_first_test() -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE)
    with pytest.raises(SmokeRefused, match="Say void instead"):
        report_smoke(build, Smoke.PENDING, now=NOW)
    build.refresh_from_db()
    assert build.smoke == Smoke.PASSED


def test_r4_every_channel_has_its_head() -> None:
    beta = make_build("4.3", maturity=Maturity.BETA)
    stable = make_build("4.2", maturity=Maturity.STABLE)

    heads = channel_heads([build.facts() for build in (beta, stable)])

    assert {channel.channel: head and head.version for channel, head in heads.items()} == {
        "alpha": "4.3", "beta": "4.3", "release": "4.2", "stable": "4.2",
    }  # fmt: skip


def test_r3_the_smoke_report_is_in_the_history() -> None:
    build = make_build("4.2", smoke=Smoke.PENDING)

    report_smoke(build, Smoke.PASSED, now=NOW)

    change = Change.objects.get()
    assert (change.kind, change.before["smoke"], change.after["smoke"]) == (
        "build.smoke_reported", "pending", "passed",
    )  # fmt: skip


def test_r6_r10_a_channels_policy_is_changed_with_who_from_and_to(release_manager: User) -> None:
    channel, changed = set_channel_policy(
        Maturity.STABLE, soak=7 * DAY, automatic=True, now=NOW, reason="Faster",
        actor=Actor(Origin.PAGE, release_manager),
    )  # fmt: skip

    assert changed
    assert services.channel_policies()[Maturity.STABLE] == ChannelPolicy(7 * DAY, automatic=True)
    change = Change.objects.get()
    assert (change.kind, change.subject_name, change.by, change.reason) == (
        "channel.changed", "stable", release_manager, "Faster",
    )  # fmt: skip
    assert change.before == {"soak": "P14DT00H00M00S", "automatic": False}
    assert set_channel_policy(Maturity.STABLE, soak=7 * DAY, actor=COMMAND, now=NOW) == (channel, False)
    with pytest.raises(ChangedMeanwhile):
        set_channel_policy(Maturity.STABLE, automatic=False, actor=COMMAND, now=NOW, seen=0)
    assert Change.objects.count() == 1


@pytest.mark.parametrize("soak", [-DAY, 366 * DAY])
def test_r6_a_soak_time_that_cannot_be_is_refused(soak: timedelta) -> None:
    with pytest.raises(PolicyRefused, match="between 0 and 365 days") as refused:
        set_channel_policy(Maturity.STABLE, soak=soak, actor=COMMAND, now=NOW)

    assert refused.value.field == "soak"
    assert not Change.objects.exists()


def test_t8_a_stepping_stone_is_marked_and_unmarked_once() -> None:
    build = make_build("4.2")

    assert mark_stepping_stone(build, actor=COMMAND, now=NOW)[1]
    assert not mark_stepping_stone(build, actor=COMMAND, now=NOW)[1]
    assert services.facts_of(build).stepping_stone
    assert list(Build.objects.stepping_stones()) == [build]
    assert unmark_stepping_stone(build, actor=COMMAND, now=NOW)[1]
    assert not unmark_stepping_stone(build, actor=COMMAND, now=NOW)[1]

    kinds = [change.kind for change in Change.objects.order_by("pk")]
    assert kinds == ["stepping_stone.marked", "stepping_stone.unmarked"]


@pytest.mark.parametrize(
    "fault", [{"withdrawn_at": NOW}, {"quarantined_at": NOW}, {"archived_at": NOW}, {"smoke": Smoke.FAILED}]
)
def test_t8_what_no_site_may_install_cannot_be_a_stepping_stone(fault: dict[str, Any]) -> None:
    build = make_build("4.2", **fault)

    with pytest.raises(SteppingStoneRefused):
        mark_stepping_stone(build, actor=COMMAND, now=NOW)
    if "withdrawn_at" in fault or "archived_at" in fault:
        with pytest.raises(IntegrityError, match="build_stepping_stone_is_installable"), transaction.atomic():
            Build.objects.update(stepping_stone=True)

    assert not Change.objects.exists()


def test_t8_withdrawing_a_stepping_stone_asks_for_its_replacement() -> None:
    stone, other, bad = make_build("4.2", stepping_stone=True), make_build("4.3"), make_build("4.4", smoke=Smoke.FAILED)

    with pytest.raises(ReplacementMissing):
        withdraw_build(stone, actor=COMMAND, now=NOW, reason="Loses mail")
    for replacement in (stone, bad):
        with pytest.raises(SteppingStoneRefused):
            withdraw_build(stone, actor=COMMAND, now=NOW, reason="Loses mail", replacement=replacement)
    assert not Change.objects.exists()
    withdraw_build(stone, actor=COMMAND, now=NOW, reason="Loses mail", replacement=other)

    assert list(Build.objects.stepping_stones()) == [other]
    marked, withdrawn = Change.objects.all()
    assert (withdrawn.kind, withdrawn.after["replacement"], withdrawn.reason) == (
        "build.withdrawn",
        "4.3",
        "Loses mail",
    )
    assert withdrawn.before["stepping_stone"] is True
    assert (marked.kind, marked.subject_name) == ("stepping_stone.marked", "4.3")


def test_t8_nothing_may_take_the_place_of_a_stepping_stone_and_only_a_stepping_stone_has_a_place() -> None:
    stone, plain = make_build("4.2", stepping_stone=True), make_build("4.3")

    withdraw_build(stone, actor=COMMAND, now=NOW, reason="Loses mail", replacement=None)
    with pytest.raises(SteppingStoneRefused):
        withdraw_build(plain, actor=COMMAND, now=NOW, reason="Loses mail", replacement=make_build("4.4"))

    assert not Build.objects.stepping_stones().exists()
    assert stored(stone).is_withdrawn
    assert not stored(plain).is_withdrawn


def test_r9_an_archived_build_keeps_its_row_loses_its_artefact_and_leaves_its_channels() -> None:
    old = make_build("4.1", maturity=Maturity.RELEASE)
    make_build("4.2", maturity=Maturity.RELEASE)

    assert archive_build(old, keys_in_use=set(), actor=COMMAND, now=NOW, reason="Old.")[1]
    assert not archive_build(old, keys_in_use=set(), actor=COMMAND, now=NOW + DAY, reason="Old.")[1]

    assert stored(old).archived_at == NOW
    assert not old.artifact_path.exists()
    assert not Build.objects.eligible().filter(pk=old.pk).exists()
    assert not services.facts_of(old).eligible
    with pytest.raises(PromotionRefused, match="is archived"):
        promote_build(old, Maturity.STABLE, actor=COMMAND, now=NOW)
    assert [change.kind for change in Change.objects.all()] == ["build.archived"]


def test_r5_what_something_needs_is_not_archived() -> None:
    used, stone, head = (
        make_build("4.1"),
        make_build("4.2", stepping_stone=True),
        make_build("4.3", maturity=Maturity.BETA),
    )

    for build, why in ((used, "A site runs"), (stone, "pass through"), (head, r"is the build of alpha, beta\.")):
        with pytest.raises(ArchiveRefused, match=why):
            archive_build(build, keys_in_use={used.version_key}, actor=COMMAND, now=NOW, reason="Old.")
        assert build.artifact_path.exists()

    assert not Change.objects.exists()


def test_r5_an_artefact_that_another_build_has_too_stays() -> None:
    old, other = make_build("4.1", content=b"same"), make_build("4.2", content=b"same")

    archive_build(old, keys_in_use=set(), actor=COMMAND, now=NOW, reason="Old.")
    assert other.artifact_path.exists()
    archive_build(other, keys_in_use=set(), actor=COMMAND, now=NOW, reason="Old.")
    assert not other.artifact_path.exists()


def test_r2_r6_registering_an_archived_build_again_brings_it_back_and_its_soak_starts_from_zero(artifact: Path) -> None:
    build, _created = register_build("4.1", artifact, now=NOW)
    archive_build(build, keys_in_use=set(), actor=COMMAND, now=NOW, reason="Old.")

    again, created = register_build("4.1", artifact, now=NOW + DAY)

    assert (again, created, again.archived_at, again.channel_since) == (build, False, None, NOW + DAY)
    assert again.artifact_path.exists()
    kinds = [change.kind for change in Change.objects.order_by("pk")]
    assert kinds == ["build.registered", "build.archived", "build.restored"]


def test_r9_quarantine_and_withdrawal_are_in_the_history_once(release_manager: User) -> None:
    build = make_build("4.2")
    for _twice in range(2):
        services.quarantine_build(build, now=NOW)
        withdraw_build(build, actor=Actor(Origin.PAGE, release_manager), now=NOW, reason="Loses mail")

    withdrawn, quarantined = Change.objects.all()
    assert (quarantined.kind, quarantined.origin) == ("build.quarantined", "automatic")
    assert (withdrawn.kind, withdrawn.by, withdrawn.reason) == ("build.withdrawn", release_manager, "Loses mail")


def test_the_builds_between_two_versions_are_those_whose_changes_come_with_the_step() -> None:
    builds = [make_build(version) for version in ("4.1", "4.2rc1", "4.2", "4.10")]
    keys = [build.version_key for build in builds]

    assert list(Build.objects.between(keys[0], keys[3])) == builds[:0:-1]
    assert list(Build.objects.between(keys[1], keys[2])) == [builds[2]]
    assert list(Build.objects.between(keys[3], keys[0])) == builds[:0:-1], "what going back loses"
