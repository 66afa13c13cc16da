"""Changelogs come from outside: what they may do to a page."""

import pytest

from releasemgr.lib.markdown import rendered


def test_lists_code_and_links_are_rendered() -> None:
    html = rendered("- Uses `tax_code`\n- See [the notes](https://example.net/n)\n")

    assert "<li>Uses <code>tax_code</code></li>" in html
    assert 'href="https://example.net/n"' in html
    assert 'rel="noopener noreferrer"' in html


def test_a_heading_stands_below_the_cards_own() -> None:
    assert rendered("# 4.2\n\n## Fixed\n") == "<h3>4.2</h3>\n<h4>Fixed</h4>"
    assert rendered("## Fixed\n\n### Invoices\n") == "<h3>Fixed</h3>\n<h4>Invoices</h4>"
    assert rendered("###### Small\n") == "<h3>Small</h3>"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![pixel](https://example.net/p.png)",
        "[go](javascript:alert(1))",
        '<p style="position:fixed" onclick="alert(1)">x</p>',
        "<form action=https://example.net><button>x</button></form>",
        "<style>body{display:none}</style>",
    ],
)
def test_nothing_that_acts_or_loads_survives(text: str) -> None:
    html = rendered(text)

    for dangerous in ("<script", "<img", "javascript:", "onclick", "onerror", "style", "<form", "<button", "alert(1)<"):
        assert dangerous not in html
