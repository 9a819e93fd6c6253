"""Pieces of HTML, as the standard library's parser reads them."""

import html
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.publish.report.html import (
    CUT_LENGTH,
    Html,
    bar,
    chart,
    cut,
    details,
    element,
    escape,
    joined,
    linked,
    moment_of,
    more,
    script_json,
    section,
    share,
    table,
)
from tests.pipeline.publish.report.records import EVIL


class Reader(HTMLParser):
    """Collects the elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, _: object) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_markup() -> None:
    assert escape(1234567) == "1,234,567"
    assert escape(element("b", "<")) == "<b>&lt;</b>"
    assert linked("by X (https://x.org/a), <y>").text == (
        'by X (<a href="https://x.org/a" rel="noreferrer">https://x.org/a</a>), &lt;y&gt;'
    )
    assert json.loads(script_json({EVIL: EVIL})) == {EVIL: EVIL}
    assert not set("<>&\n") & set(script_json({EVIL: EVIL}))
    with pytest.raises(ValueError, match="zip"):
        table(["one"], [("a", "b")], "")


@given(st.text())
def test_a_text_is_one_text_for_a_browser(text: str) -> None:
    found = Reader(element("p", text).text)
    assert found.elements == ["p"]
    readable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    assert "".join(found.texts) == readable


@given(st.lists(st.none() | st.booleans() | st.text() | st.dictionaries(st.text(), st.text(), max_size=3), max_size=5))
def test_data_comes_back_from_a_script(value: object) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    found = Reader(f"<script>{text}</script><p>")
    assert found.elements == ["script", "p"]


def test_numbers_and_nothing() -> None:
    assert [escape(value) for value in (None, 1234.5, 0, -5000)] == ["", "1,234.5", "0", "-5,000"]
    assert joined(["a", None, Html("<b>"), 1000], " ").text == "a  <b> 1,000"
    assert [share(1, 3), share(1, 100_000), share(0, 5), share(5, 0)] == ["33.33%", "< 0.01%", "0.00%", ""]
    assert more(10, 10).text == ""
    assert more(1210, 10).text == '<p class="quiet">and 1,200 more, see run.json</p>'
    assert cut("x" * CUT_LENGTH) == "x" * CUT_LENGTH
    assert cut("x" * 9999) == "x" * CUT_LENGTH + "…"


def test_a_table_has_headers_of_columns_and_rows_and_numbers_behind_its_texts() -> None:
    text = table(["name", "kind", "n"], [("<a>", "b", 5000)], "All <kinds>", texts=2).text
    assert '<th scope="col">name</th><th scope="col">kind</th><th scope="col" class="number">n</th>' in text
    assert '<th scope="row">&lt;a&gt;</th><td>b</td><td class="number">5,000</td>' in text
    assert "<caption>All &lt;kinds&gt;</caption>" in text


def test_bars_are_as_long_as_their_share() -> None:
    assert [bar(1, 4).text, bar(1, 0).text] == [
        '<span class="bar " style="width:25.00%"></span>',
        '<span class="bar " style="width:0.00%"></span>',
    ]
    assert 'class="bars"></th>' in table(["name", ""], [("a", bar(1, 4))], "bars", bars=True).text


def test_a_moment_is_that_of_the_run_id() -> None:
    assert moment_of("20261107T090305Z-abcdef") == "7 November 2026, 09:03 UTC"
    assert [moment_of(name) for name in ("", "by hand", "20269907T090305Z-abcdef")] == [
        "", "by hand", "20269907T090305Z-abcdef",
    ]  # fmt: skip


def test_attributes_and_titles_are_escaped() -> None:
    drawn = chart("time", 10, EVIL, EVIL, [(EVIL, 9)])
    for part in (drawn, section(EVIL), details(EVIL, EVIL), element("p", "x", EVIL), table([EVIL], [[EVIL]], EVIL)):
        assert "<img" not in part.text
        assert Reader(part.text).elements[0] in ("figure", "section", "details", "p", "div")
    assert html.escape(EVIL) in drawn.text
    assert "var(--c1)" in drawn.text
