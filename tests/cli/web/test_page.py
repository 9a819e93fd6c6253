"""What the page makes of answers."""

import pytest

pytest.importorskip("streamlit")

from cli.web import page
from config import Config
from pipeline.inspection.query import Found
from pipeline.inspection.views import VIEWS


def test_runs_are_named_by_their_moment_and_never_two_alike() -> None:
    assert page.labels_of(["2026-11-07 09:03:05", "2026-11-30 15:14:43"]) == ["7 Nov 09:03", "30 Nov 15:14"]
    assert page.labels_of(["2026-11-07 09:03:05", "2026-11-07 09:03:43"]) == ["7 Nov 09:03:05", "7 Nov 09:03:43"]


def test_reasons_have_meanings() -> None:
    found = Found(("reason", "records"), (False, False), (("conflict", 4), ("bad_quote", 2), ("rule:x", 1)), cut=True)
    explained = page.with_meanings(found)
    assert (explained.columns, explained.cut) == (("reason", "records", "meaning"), True)
    assert [row[2] for row in explained.rows] == [
        "copies of an event with other content that did not count",
        "text follows a closing quote",
        "the record breaks this rule of RECORD_RULES",
    ]


def test_the_axis_of_minutes_is_the_one_with_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """``x_label`` and ``y_label`` belong to the columns x and y, also where bars lie."""
    charts = []
    monkeypatch.setattr(page.st, "bar_chart", lambda data, **named: charts.append((data.column_names, named)))
    for name in ("show_table", "show_users"):
        monkeypatch.setattr(page, name, lambda *_: None)
    columns = ("geo_region", "users", "events", "minutes")
    page.show_watch_time(Config(), "v", Found(columns, (False, True, True, True), (("Asia", 1, 2, 3.5),), cut=False))
    ((names, labels),) = charts
    assert (names, labels["x"], labels["y"]) == (["Region", "Minutes"], "Region", "Minutes")
    assert (labels["x_label"], labels["y_label"]) == ("", "Minutes")


def test_every_view_is_explained_beside_the_box() -> None:
    assert tuple(page._VIEWS) == VIEWS
