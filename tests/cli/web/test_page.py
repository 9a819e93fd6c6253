"""What the page makes of answers."""

import pytest

pytest.importorskip("streamlit")

from cli.web import page
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


def test_every_view_is_explained_beside_the_box() -> None:
    assert tuple(page._VIEWS) == VIEWS
