"""Sections on how a run went."""

import re

from pipeline.publish.report.run_sections import Earlier, earlier_runs_section, plan_section, time_section
from tests.pipeline.publish.report.records import make_observed, make_record, page


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row of a section."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text) if "<td" in row]


def test_settings_are_written_as_people_write_them() -> None:
    settings = make_record()["settings"] | {"LOG_ID_COLUMN": ("id", "log_id"), "RECORD_RULES": ()}
    assert "id, log_id</td>" in page(make_record(settings=settings))
    assert "()" not in page(make_record(settings=settings)).split("every setting of this run")[1].split("</table>")[0]


def test_runs_are_compared_with_the_ones_before() -> None:
    text = page(make_record(kept=990), earlier=Earlier([make_record(version="v1")]))
    assert "+10.0%" in text
    assert "(this run)" in text
    assert "this is the first version" in page(make_record())
    assert "damaged record" in page(make_record(), earlier=Earlier([], "damaged record"))


def test_phases_have_their_share_of_the_time() -> None:
    rows = rows_of(time_section(make_record(), make_observed()).text)
    assert [[row[0], row[2]] for row in rows[:4]] == [
        ["phase 1", "50.00%"],
        ["phase 2", "37.50%"],
        ["publish", "12.50%"],
        ["total", "100.00%"],
    ]
    assert rows[4] == ["scatter", "1.25 s", "1.50 s", "31.25%"]


def test_what_is_made_once_is_shown_and_not_compared_with_the_plan() -> None:
    record = make_record()
    total = record["seconds"]["total"]
    later = record | {"prepare_seconds": 6.0, "seconds": record["seconds"] | {"total": total + 6.0}}
    rows = rows_of(time_section(later, make_observed()).text)
    assert rows[0][:2] == ["preparing, once on this machine", "6.00 s"]
    assert [row[0] for row in rows[1:5]] == ["phase 1", "phase 2", "publish", "total"]
    planned, planned_later = (
        dict(row[::2] for row in rows_of(plan_section(found, make_observed()).text) if len(row) == 3)
        for found in (record, later)
    )
    assert planned["time"] == planned_later["time"]


def test_what_was_planned_stands_beside_what_was_reached() -> None:
    rows = {name: rest for name, *rest in rows_of(plan_section(make_record(), make_observed()).text)}
    assert rows["worker processes"] == ["2 asked, 2 planned", "3"]
    assert rows["peak memory"] == ["600 MB, at most 2 GB", "500 MB"]
    assert rows["splits"] == ["of 1 MB", "3, the largest 9 B"]
    assert rows["buckets"] == ["4 of at most 1,000,000 rows at once", "4 filled, the largest 8 rows"]
    assert rows["engine of Phase 2"] == ["auto", "polars"]
    spark = plan_section(make_record(engine="spark"), make_observed()).text
    assert "3 (the pool&#x27;s, then Spark&#x27;s)" in spark


def test_each_run_is_compared_with_the_one_before_and_the_newest_is_first() -> None:
    earlier = [make_record(version=f"v{n}", kept=800 + n) for n in range(14)]
    text = earlier_runs_section(make_record(version="now", kept=900), Earlier(earlier)).text
    rows = rows_of(text)
    assert [row[0] for row in rows] == ["now (this run)", *(f"v{n}" for n in range(13, 3, -1))]
    assert rows[0][2] == "900 <small>+10.7%</small>"  # of 813
    assert rows[-1][2] == "804"  # the oldest one on the page
    assert "and 4 more, see run.json" in text


def test_a_run_that_kept_nothing_before_is_no_measure() -> None:
    text = earlier_runs_section(make_record(), Earlier([make_record(version="v1", kept=0)])).text
    assert rows_of(text)[0][2] == "900"
