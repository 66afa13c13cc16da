"""An upgrade's page, the log that grows on it, and the decision of a person."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import NOW, make_instance, make_upgrade
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.models import LogChunk, Step, Upgrade, UpgradeEvent
from upgrades.views import log_blocks, upgrades

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
ROLLED_BACK = {
    "outcome": Outcome.ROLLED_BACK, "end_code": EndCode.STEP_FAILED,
    "end_values": {"step": "Migrate", "from": "1.0", "to": "2.0"},
}  # fmt: skip


def add_step(upgrade: Upgrade, position: int, log: bytes | None = None, *, ended: bool = True, **values: Any) -> Step:
    """A step that printed this; None where it has not begun."""
    start = sum(chunk.size for chunk in upgrade.log_chunks.all())
    if log is not None:
        append(upgrade, log)
        values = {"started_at": NOW, "log_start": start, "state": StepState.RUNNING} | values
        if ended:
            values = values | {"ended_at": NOW + timedelta(seconds=5), "log_end": start + len(log)}
            values["state"] = values["state"] if values["state"] != StepState.RUNNING else StepState.SUCCEEDED
    return Step.objects.create(
        upgrade=upgrade, position=position, name=f"step-{position}", title=f"Step {position}", phase="check", **values
    )


def append(upgrade: Upgrade, data: bytes) -> None:
    offset = sum(chunk.size for chunk in upgrade.log_chunks.all())
    LogChunk.of(upgrade, offset, data, NOW).save()


def numbers(html: str) -> list[int]:
    """The lines that a reply adds for good."""
    return [int(number) for number in re.findall(r'id="L(\d+)"', html)]


def open_steps(html: str) -> list[int]:
    return [int(key) for key in re.findall(r'<details class="log-step" id="s-(\d+)" open', html)]


# Who may.


@pytest.mark.parametrize("path", ["", "log/?after=0-1&steps=0", "raw/"])
def test_who_may_read_an_upgrade(client: Client, viewer: User, stranger: User, path: str) -> None:
    path = f"/upgrades/{make_upgrade(outcome=Outcome.SUCCEEDED).pk}/{path}"

    assert client.get(path).status_code == 302
    client.force_login(stranger)
    assert client.get(path).status_code == 403
    client.force_login(viewer)
    assert client.get(path).status_code == 200
    assert client.post(path).status_code == 405


@pytest.mark.parametrize("path", ["", "log/?after=0-1&steps=0", "raw/"])
def test_an_upgrade_that_does_not_exist_is_not_found(client: Client, viewer: User, path: str) -> None:
    client.force_login(viewer)

    assert client.get(f"/upgrades/4711/{path}").status_code == 404


# What happened.


def test_u2_the_page_says_what_happened_how_the_site_stands_and_what_to_do(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(**ROLLED_BACK, first_error="Error: no", first_error_line=3)
    client.force_login(viewer)

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()

    assert "Failed at Migrate. The site is up on 1.0 again." in page
    assert "It is not tried again by itself" in page
    assert '<a class="btn btn-plain btn-sm" href="?line=3#L3">Go to line 3</a>' in page


def test_done_steps_are_folded_and_the_failed_one_is_open(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(**ROLLED_BACK)
    add_step(upgrade, 1, b"$ one\nfine\n")
    add_step(upgrade, 2, b"$ two\nError: no\n", state=StepState.FAILED)
    add_step(upgrade, 3)
    add_step(upgrade, 1001, b"$ back\n")
    client.force_login(viewer)

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()

    assert open_steps(page) == [2]
    assert numbers(page) == [1, 2, 3, 4, 5]
    assert page.index("Step 3") < page.index("The way back") < page.index("Step 1001")
    assert "Errors (1)" in page
    assert "hx-trigger=\"every 2s\"" not in page  # fmt: skip


def test_the_line_of_the_address_opens_its_step(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"$ one\nfine\n")
    add_step(upgrade, 2, b"$ two\n")
    client.force_login(viewer)

    assert open_steps(client.get(f"/upgrades/{upgrade.pk}/?line=2").content.decode()) == [1]
    assert client.get(f"/upgrades/{upgrade.pk}/?line=two").status_code == 400


def test_u9_what_a_host_printed_never_becomes_markup(client: Client, viewer: User) -> None:
    hostile = b'$ x\n\x1b[31m<script>alert(1)</script>\x1b[0m\n<img src=x onerror="x">\n'
    upgrade = make_upgrade(**ROLLED_BACK, first_error="<script>alert(2)</script>", first_error_line=2)
    add_step(upgrade, 1, hostile, state=StepState.FAILED)
    client.force_login(viewer)

    for path in ("", "?find=alert", "?find=<script>", "?errors=1", "log/?after=0-1&steps=0"):
        page = client.get(f"/upgrades/{upgrade.pk}/{path}").content.decode()
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "find=&lt;script" not in path or "&lt;script&gt;" in page


def test_the_page_names_earlier_upgrades_and_the_history(client: Client, viewer: User) -> None:
    site = make_instance()
    first = make_upgrade(instance=site, outcome=Outcome.SUCCEEDED)
    upgrade = make_upgrade(instance=site, outcome=Outcome.SUCCEEDED)
    UpgradeEvent.objects.create(upgrade=upgrade, at=NOW, from_state="waiting", to_state="starting")
    client.force_login(viewer)

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()

    assert f'href="/upgrades/{first.pk}/"' in page
    assert "<dt>Starting</dt>" in page


def test_an_upgrade_that_never_ran_says_so(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.NOT_STARTED, end_code=EndCode.TIME_OVER, started_at=None)
    client.force_login(viewer)

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()

    assert "so there is no log" in page
    assert "Its turn did not come" in page


def test_find_lists_the_lines_that_say_it_with_their_numbers(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"$ one\nApple \x1b[31mpie\x1b[0m\nnothing\napple PIE\n")
    client.force_login(viewer)

    page = client.get(f"/upgrades/{upgrade.pk}/?find=apple pie").content.decode()

    assert "2 lines say “apple pie”" in page
    assert numbers(page) == [2, 4]
    assert f'href="/upgrades/{upgrade.pk}/?line=4#L4"' in page
    assert "0 lines say “pear”" in client.get(f"/upgrades/{upgrade.pk}/?find=pear").content.decode()
    assert "<html" not in client.get(f"/upgrades/{upgrade.pk}/?find=apple", headers=HTMX).content.decode()


def test_in_a_very_long_log_errors_are_found_but_not_counted(
    client: Client, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"$ one\nError: no\n")
    client.force_login(viewer)
    monkeypatch.setattr(log_blocks, "COUNTED", 1)
    monkeypatch.setattr(upgrades, "WINDOW", 0)

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()
    found = client.get(f"/upgrades/{upgrade.pk}/?errors=1").content.decode()

    assert "Errors</a>" in page
    assert "1 line is an error" in found
    assert numbers(found) == [2]
    assert "The first 0 are shown." in found


def test_the_raw_log_is_every_byte(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    for data in (b"\x1b[31m<b>\xff", b"\x00\r\n", b"end"):
        append(upgrade, data)
    client.force_login(viewer)

    reply = client.get(f"/upgrades/{upgrade.pk}/raw/")

    assert b"".join(reply) == b"\x1b[31m<b>\xff\x00\r\nend"
    assert reply["Content-Type"] == "text/plain; charset=utf-8"
    assert reply["Content-Disposition"] == f'attachment; filename="upgrade-{upgrade.pk}-{upgrade.instance}.log"'


def test_a_long_log_shows_its_end_and_the_rest_on_demand(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"".join(b"line %d\n" % n for n in range(1, 6001)))
    client.force_login(viewer)
    path = f"/upgrades/{upgrade.pk}/"

    page = client.get(path).content.decode()
    earlier = client.get(f"{path}log/?before=5501", headers=HTMX).content.decode()
    window = client.get(f"{path}?line=300").content.decode()
    later = client.get(re.findall(r'hx-get="([^"]*by_hand=1)"', window)[0].replace("&amp;", "&")).content.decode()
    first = client.get(f"{path}log/?before=51", headers=HTMX).content.decode()

    assert numbers(page) == list(range(5501, 6001))
    assert "before=5501" in page
    assert numbers(earlier) == list(range(5001, 5501))
    assert "before=5001" in earlier
    assert 'hx-swap-oob="afterbegin:#lines-1"' in earlier
    assert numbers(window) == list(range(50, 550))
    assert numbers(later) == list(range(550, 1050))
    assert numbers(first) == list(range(1, 51))
    assert "before=" not in first


@pytest.mark.parametrize(
    "query", ["", "after=x&steps=0", "after=0-0&steps=0", "after=0-1", "after=0-1&steps=-1", "before=x"]
)
def test_a_malformed_question_for_lines_is_refused(client: Client, viewer: User, query: str) -> None:
    client.force_login(viewer)

    assert client.get(f"/upgrades/{make_upgrade().pk}/log/?{query}").status_code == 400


def test_the_number_of_queries_does_not_grow_with_the_log(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"$ one\n")
    client.force_login(viewer)
    counts = []
    for many in (2, 20):
        for place in range(many):
            add_step(upgrade, many * 10 + place, b"$ more\nand more\n")
        client.get(f"/upgrades/{upgrade.pk}/")
        with CaptureQueriesContext(connection) as asked:
            client.get(f"/upgrades/{upgrade.pk}/")
        counts.append(len(asked))

    assert counts[0] == counts[1]


# The log as it grows.


class Follower:
    """A browser that follows a log: asks as the last reply told it, and keeps the lines it was given."""

    def __init__(self, client: Client, upgrade: Upgrade) -> None:
        self.client = client
        self.keep(client.get(f"/upgrades/{upgrade.pk}/").content.decode())
        self.lines = numbers(self.reply)

    def keep(self, reply: str) -> None:
        self.reply = reply
        asked = re.findall(r'hx-get="([^"]*)" hx-trigger="(?:every|load)', reply)
        self.next = asked[0].replace("&amp;", "&") if asked else None

    def poll(self) -> str:
        assert self.next
        self.keep(self.client.get(self.next, headers=HTMX).content.decode())
        self.lines += numbers(self.reply)
        return self.reply


def test_u3_no_line_is_lost_or_doubled_while_the_log_grows_and_polling_ends_by_itself(
    client: Client, viewer: User
) -> None:
    upgrade = make_upgrade(state=UpgradeState.RUNNING, started_at=NOW)
    add_step(upgrade, 1, b"$ one\nfi", ended=False)
    add_step(upgrade, 2)
    client.force_login(viewer)
    page = Follower(client, upgrade)
    assert page.lines == [1]
    assert ">fi</span>" in page.reply

    append(upgrade, "ne €".encode()[:-1])
    assert ">fine </span>" in page.poll()
    append(upgrade, "€".encode()[-1:] + b"\n")
    assert ">fine €</span>" in page.poll()
    assert page.lines == [1, 2]

    Step.objects.filter(position=1).update(state=StepState.SUCCEEDED, ended_at=NOW, log_end=15)
    append(upgrade, b"$ two\n")
    page.poll()
    assert page.lines == [1, 2]
    Step.objects.filter(position=2).update(state=StepState.RUNNING, started_at=NOW, log_start=15)
    reply = page.poll()
    assert 'id="s-2" open hx-swap-oob="true"' in reply
    assert "Running, step 2 of 2" in reply
    assert page.lines == [1, 2, 3]

    add_step(upgrade, 1001, b"$ back\nwithout an end", ended=False)
    Step.objects.filter(position=2).update(state=StepState.FAILED, ended_at=NOW, log_end=21)
    assert 'hx-swap-oob="beforeend:#log-steps"' in page.poll()
    assert page.lines == [1, 2, 3, 4]

    Upgrade.objects.update(state=UpgradeState.ENDED, ended_at=NOW, **ROLLED_BACK)
    reply = page.poll()
    assert page.lines == [1, 2, 3, 4, 5]
    assert "The site is up on 1.0 again." in reply
    assert page.next is None


def test_a_reply_holds_at_most_500_lines_and_the_next_is_asked_for_at_once(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(state=UpgradeState.RUNNING, started_at=NOW)
    add_step(upgrade, 1, b"$ one\n", ended=False)
    client.force_login(viewer)
    page = Follower(client, upgrade)
    append(upgrade, b"".join(b"line %d\n" % n for n in range(2, 1202)))

    reply = page.poll()
    assert len(numbers(reply)) == 500
    assert "load delay" in reply
    page.poll()
    assert "every 2s" in page.poll()
    assert page.lines == list(range(1, 1202))


# The decision of a person.


def stuck(**values: Any) -> Upgrade:
    return make_upgrade(
        **{"outcome": Outcome.NEEDS_A_PERSON, "end_code": EndCode.RUNNER_GONE, "end_values": {"step": "Migrate"}}
        | values
    )


def test_u2_a_release_manager_unlocks_a_site_with_a_note(client: Client, release_manager: User) -> None:
    upgrade, other = stuck(), stuck()
    client.force_login(release_manager)
    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()
    assert "Unlock the site" in page

    said = {"note": " It answers. ", "seen": "0", "reported": "1.0"}
    reply = client.post(f"/upgrades/{upgrade.pk}/unlock/", said, follow=True)

    upgrade.refresh_from_db()
    other.refresh_from_db()
    assert (upgrade.decided_by, upgrade.decision_note) == (release_manager, "It answers.")
    assert upgrade.outcome == Outcome.NEEDS_A_PERSON
    assert other.decided_at is None
    assert "It answers." in reply.content.decode()
    assert release_manager.username in reply.content.decode()
    assert "What you found" not in reply.content.decode()


def test_u2_a_page_that_followed_an_upgrade_to_its_end_has_the_form_that_unlocks(
    client: Client, release_manager: User
) -> None:
    upgrade = stuck()
    client.force_login(release_manager)
    news = client.get(f"/upgrades/{upgrade.pk}/log/?after=0-1&steps=0", headers=HTMX).content.decode()
    assert 'name="note"' in news
    assert 'name="reported" value="1.0"' in news


def test_u2_unlocking_without_a_note_is_refused(client: Client, release_manager: User) -> None:
    upgrade = stuck()
    client.force_login(release_manager)

    reply = client.post(f"/upgrades/{upgrade.pk}/unlock/", {"note": "  ", "seen": "0"})

    upgrade.refresh_from_db()
    assert reply.status_code == 422
    assert "is-invalid" in reply.content.decode()
    assert upgrade.decided_at is None


def test_u2_the_second_decision_changes_nothing(client: Client, release_manager: User, viewer: User) -> None:
    upgrade = stuck(decided_at=NOW, decided_by=viewer, decision_note="First.")
    client.force_login(release_manager)

    reply = client.post(f"/upgrades/{upgrade.pk}/unlock/", {"note": "Second.", "seen": "0"}, follow=True)

    upgrade.refresh_from_db()
    assert (upgrade.decided_by, upgrade.decision_note) == (viewer, "First.")
    assert "Someone else has decided meanwhile" in reply.content.decode()


def test_who_may_unlock(client: Client, support: User) -> None:
    upgrade = stuck()
    path = f"/upgrades/{upgrade.pk}/unlock/"

    assert client.post(path, {"note": "x"}).status_code == 302
    client.force_login(support)
    assert client.post(path, {"note": "x"}).status_code == 403
    assert client.get(path).status_code == 405
    upgrade.refresh_from_db()
    assert upgrade.decided_at is None
    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()
    assert "Unlocking needs: Release manager, Administrator." in page
    assert 'name="note"' not in page


# Logs of any size.


def left_out(upgrade: Upgrade, size: int, feeds: int) -> None:
    offset = sum(chunk.size for chunk in upgrade.log_chunks.all())
    LogChunk.objects.create(upgrade=upgrade, offset=offset, size=size, feeds=feeds, at=NOW)


def test_u9_the_page_the_download_and_the_live_view_say_what_was_left_out_and_where_it_is(
    client: Client, viewer: User
) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"$ one\nbegun\nand cut he", ended=False)
    left_out(upgrade, 3 * 1024 * 1024, 4000)
    append(upgrade, b"re\nlast\n")
    client.force_login(viewer)
    where = f"{upgrade.instance.host.name}: {upgrade.instance.path}/.releasemgr/upgrades/{upgrade.pk}/log"

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()
    news = client.get(f"/upgrades/{upgrade.pk}/log/?after=0-1&steps=0").content.decode()
    raw = b"".join(client.get(f"/upgrades/{upgrade.pk}/raw/")).decode()

    for shown in (page, news):
        assert f"3.0\xa0MB (4,000 lines) of this log were left out. The whole log is on {where}" in shown
        assert "3.0\xa0MB (4,000 lines) were left out here" in shown
        assert numbers(shown) == [1, 2, 3, 4003, 4004]
    assert "4,004 lines" in page.replace("4004", "4,004")
    assert raw == (
        f"$ one\nbegun\nand cut he\n[3145728 bytes in 4000 lines were left out here. The whole log is on {where}]\n"
        "re\nlast\n"
    )


def test_u9_a_line_is_opened_on_both_sides_of_what_was_left_out(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"".join(b"line %d\n" % n for n in range(1, 4001)), ended=False)
    left_out(upgrade, 10_000_000, 100_000)
    append(upgrade, b"".join(b"line %d\n" % n for n in range(104_001, 108_001)))
    client.force_login(viewer)
    path = f"/upgrades/{upgrade.pk}/"

    assert numbers(client.get(f"{path}?line=300").content.decode()) == list(range(50, 550))
    assert numbers(client.get(f"{path}?line=107000").content.decode()) == list(range(106_750, 107_250))
    upgrade.steps.update(state=StepState.SUCCEEDED)
    within = client.get(f"{path}?line=50000").content.decode()
    assert numbers(within)[:2] == [104_001, 104_002]
    assert '<details class="log-step" id="s-1" open>' in within
    assert "before=4001" in within
    earlier = client.get(f"{path}log/?before=104001", headers=HTMX).content.decode()
    assert "were left out here" in earlier


def test_u9_a_very_long_line_is_shown_cut_with_its_length(client: Client, viewer: User) -> None:
    upgrade = make_upgrade(outcome=Outcome.SUCCEEDED)
    add_step(upgrade, 1, b"$ one\n" + b"x" * 10_000, ended=False)
    left_out(upgrade, 50 * 1024 * 1024, 0)
    append(upgrade, b"x\nlast\n")
    client.force_login(viewer)

    page = client.get(f"/upgrades/{upgrade.pk}/").content.decode()

    assert numbers(page) == [1, 2, 3]
    assert "cut here: the line has 50.0\xa0MB" in page
    assert len(page) < 100_000
