"""The interface's small pieces: escaped, named for those who do not see, and worded one way."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory

from releasemgr.lib.components import Part, ViewLink
from releasemgr.lib.tables import SelectColumn, Table
from upgrades.choices import Outcome, UpgradeState

NASTY = "<b>&"
SAFE = "&lt;b&gt;&amp;"
NOW = datetime(2026, 11, 23, 9, 14, tzinfo=UTC)


def render(source: str, **context: Any) -> str:
    return Template("{% load ui %}" + source).render(Context(context)).strip()


def test_an_icon_beside_a_word_is_decoration() -> None:
    svg = render('{% icon "house" %}')

    assert svg.startswith("<svg")
    assert 'class="icon"' in svg
    assert 'aria-hidden="true"' in svg
    assert "role" not in svg


def test_an_icon_alone_has_a_name() -> None:
    svg = render('{% icon "house" label=label cls="i-ok" %}', label=NASTY)

    assert 'role="img"' in svg
    assert f'aria-label="{SAFE}"' in svg
    assert 'class="icon i-ok"' in svg
    assert "aria-hidden" not in svg


def test_a_state_is_colour_icon_and_word() -> None:
    html = render("{% state outcome %}", outcome=Outcome.ROLLED_BACK)

    assert html.startswith('<span class="st st-warn"><svg')
    assert html.endswith("<span>Rolled back</span></span>")


def test_a_running_state_turns() -> None:
    assert 'class="icon spin"' in render("{% state_pill state %}", state=UpgradeState.RUNNING)


def test_a_state_can_carry_its_own_words_escaped() -> None:
    assert f"<span>{SAFE}</span>" in render("{% state outcome text=text %}", outcome=Outcome.BLOCKED, text=NASTY)


def test_a_state_without_an_icon_is_its_word() -> None:
    plain = SimpleNamespace(label="past", colour="idle", icon="")

    assert render("{% state plain %}", plain=plain) == '<span class="st st-idle"><span>past</span></span>'


def test_a_state_icon_is_named_by_its_word() -> None:
    html = render("{% state_icon outcome %}", outcome=Outcome.SUCCEEDED)

    assert 'class="icon i-ok"' in html
    assert 'aria-label="Succeeded"' in html


@pytest.mark.parametrize(
    ("name", "filled"), [("candidate", 0), ("alpha", 1), ("beta", 2), ("release", 3), ("stable", 4)]
)
def test_a_channel_has_as_many_bars_as_it_is_mature(name: str, filled: int) -> None:
    html = render('{% channel name "4.20.2" %}', name=name)

    assert html.count('class="on"') == filled
    assert html.count("<rect") == 4
    assert f'<span>{name} <span class="muted">4.20.2</span></span>' in html


def test_a_kind_is_a_word_in_a_badge() -> None:
    assert render('{% kind "live" %}') == '<span class="kind kind-live">LIVE</span>'
    assert render('{% kind "test" %}') == '<span class="kind kind-test">TEST</span>'


def test_a_change_is_read_aloud_with_to() -> None:
    html = render("{% change old new %}", old="4.20.2", new=NASTY)

    assert '<span class="from">4.20.2</span>' in html
    assert '<span class="visually-hidden"> to </span>' in html
    assert f'<b class="strong">{SAFE}</b>' in html


def test_a_change_from_an_unknown_version_says_so() -> None:
    assert '<span class="from">unknown</span>' in render('{% change None "4.20.4" %}')


@time_machine.travel(NOW)
@pytest.mark.parametrize(
    ("moment", "source", "shown"),
    [
        (datetime(2026, 11, 9, 8, 5, tzinfo=UTC), "{% when moment %}", "9 Nov 08:05"),
        (datetime(2025, 9, 30, 23, 59, tzinfo=UTC), "{% when moment %}", "30 Sep 2025 23:59"),
        (datetime(2026, 11, 9, 8, 5, tzinfo=UTC), '{% when moment "date" %}', "9 Nov"),
        (datetime(2026, 11, 9, 8, 5, tzinfo=UTC), '{% when moment "time" %}', "08:05"),
    ],
)
def test_a_moment_is_shown_in_utc_with_the_year_when_it_is_another(moment: datetime, source: str, shown: str) -> None:
    assert render(source, moment=moment) == f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{shown}</time>'


def test_no_moment_is_a_dash_or_the_word_for_it() -> None:
    assert render("{% when None %}") == '<span class="muted">–</span>'
    assert render('{% when None empty="never" %}') == '<span class="muted">never</span>'


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "under 1 s"),
        (47, "47 s"),
        (192, "3 min 12 s"),
        (900, "15 min"),
        (4200, "1 h 10 min"),
        (7200, "2 h"),
        (3 * 86400 + 3600, "3 d 1 h"),
    ],
)
def test_a_duration_names_its_two_largest_units(seconds: float, words: str) -> None:
    assert render("{% took duration %}", duration=timedelta(seconds=seconds)) == words


def test_a_duration_that_has_not_ended_is_empty() -> None:
    assert render("{% took None %}") == ""


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(hours=12, minutes=46), "in 12 h 46 min"),
        (timedelta(minutes=5), "in 5 min"),
        (timedelta(seconds=20), "in less than 1 min"),
        (timedelta(days=3, hours=2), "in 3 days"),
        (timedelta(seconds=-1), ""),
    ],
)
def test_only_the_future_is_told_relative_to_now(ahead: timedelta, words: str) -> None:
    assert render("{% relative moment now %}", moment=NOW + ahead, now=NOW) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (3_100_000_000, "3.1 GB"),
        (9_960_000_000, "10 GB"),
        (41_000_000_000, "41 GB"),
        (999_999, "1.0 MB"),
    ],
)
def test_a_size_has_one_decimal_below_ten(count: int, words: str) -> None:
    assert render("{% bytes count %}", count=count) == words


def test_a_bar_says_its_counts_in_words_and_links_them() -> None:
    parts = [Part("ok", 3, "succeeded", "/runs/1/?ended=ok"), Part("bad", 1, NASTY), Part("idle", 0, "skipped")]
    html = render('{% stacked_bar parts title="Of 4" rest="2 others" %}', parts=parts)

    assert f'aria-label="Of 4: 3 succeeded, 1 {SAFE}"' in html
    assert '<rect class="b-ok" x="0.0%" width="75.0%"' in html
    assert '<a href="/runs/1/?ended=ok"><span class="sw b-ok"></span><b>3</b> succeeded</a>' in html
    assert '<li class="muted">2 others</li>' in html
    assert "skipped" not in html
    assert "style=" not in html


def test_a_bar_of_nothing_is_its_title() -> None:
    assert 'aria-label="Nothing was planned"' in render('{% stacked_bar parts title="Nothing was planned" %}', parts=[])


@pytest.mark.parametrize(
    ("source", "look", "width"),
    [
        ('{% soak 9 14 label="Day 9 of 14" %}', "soak", "64%"),
        ('{% soak 15 14 label="Day 9 of 14" %}', "soak done", "100%"),
        ('{% soak 7 14 label="Day 9 of 14" stopped=True %}', "soak stop", "50%"),
    ],
)
def test_a_soak_is_a_progress_bar_with_a_name(source: str, look: str, width: str) -> None:
    html = render(source)

    assert f'<svg class="{look}" role="progressbar" aria-label="Day 9 of 14"' in html
    assert f'aria-valuemax="14"><rect width="{width}"/>' in html


def test_crumbs_are_a_named_way_back() -> None:
    html = render('{% crumbs "Builds" "/builds/" version "/builds/4/" %}', version=NASTY)

    assert html.startswith('<nav aria-label="Breadcrumb"><ol class="crumbs"><li><a href="/builds/">Builds</a></li>')
    assert f'<li><a href="/builds/4/">{SAFE}</a></li>' in html


def test_a_note_keeps_its_markup_and_escapes_its_data() -> None:
    html = render('{% note "bad" role="alert" %}<b>Failed.</b> {{ why }}{% endnote %}', why=NASTY)

    assert html.startswith('<div class="note bad" role="alert"><svg')
    assert html.endswith(f"<div><b>Failed.</b> {SAFE}</div></div>")


def test_views_are_links_with_counts_and_one_is_current() -> None:
    views = [ViewLink("All", "/sites/", 30, current=True), ViewLink("Live", "/sites/?kind=live")]
    html = render_to_string("components/views.html", {"views": views, "label": "Saved views"})

    assert '<a href="/sites/" aria-current="page">All<span class="n">30</span></a>' in html
    assert '<a href="/sites/?kind=live">Live</a>' in html


class Sites(Table):
    caption = "Sites"
    region = "sites"
    site = SelectColumn(accessor="slug")


class TestTable:
    def render(self, query: str = "") -> str:
        import django_tables2

        table = type("Named", (Sites,), {"slug": django_tables2.Column("Site")})(
            [{"slug": f"site-{number}"} for number in range(30)]
        )
        request = RequestFactory().get(f"/sites/?{query}")
        django_tables2.RequestConfig(request, paginate={"per_page": 25}).configure(table)
        return render_to_string("components/table.html", {"table": table}, request)

    def test_it_is_named_and_keeps_its_roles_when_it_folds(self) -> None:
        html = self.render()

        assert '<caption class="visually-hidden">Sites</caption>' in html
        assert html.count('role="row"') == 26
        assert html.count('role="columnheader"') == 2

    def test_only_the_sorted_column_says_how(self) -> None:
        assert "aria-sort" not in self.render()
        assert self.render("sort=slug").count('aria-sort="ascending"') == 1
        assert self.render("sort=-slug").count('aria-sort="descending"') == 1

    def test_sorting_keeps_the_filter_and_forgets_the_page(self) -> None:
        assert 'href="?q=a&amp;sort=slug"' in self.render("q=a&page=2")

    def test_paging_works_without_script_and_swaps_only_the_region_with_it(self) -> None:
        html = self.render("sort=slug")

        assert "1 to 25 of 30" in html
        assert 'rel="next" href="?sort=slug&amp;page=2" hx-get="?sort=slug&amp;page=2" hx-target="#sites"' in html

    def test_each_row_has_a_named_box(self) -> None:
        assert 'name="site" value="site-0" data-select aria-label="Select site-0"' in self.render()
