"""Sections on how a run went."""

import re

from pipeline.publish.report.record_sections import summary
from pipeline.publish.report.run_sections import Earlier, earlier_runs_section, plan_section, time_section
from tests.pipeline.publish.report.records import make_observed, make_record, page


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row of a section."""
    rows = [row for row in re.findall("<tr>(.*?)</tr>", text) if "<td" in row]
    plain = (re.sub("<small>[a-z].*?</small>", "", row) for row in rows)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in plain]


def test_settings_are_written_as_people_write_them() -> None:
    settings = make_record()["settings"] | {"LOG_ID_COLUMN": ("id", "log_id"), "RECORD_RULES": ()}
    assert "id, log_id</td>" in page(make_record(settings=settings))
    assert "()" not in page(make_record(settings=settings)).split("every setting of this run")[1].split("</table>")[0]


def test_runs_are_compared_with_the_ones_before() -> None:
    text = page(make_record(kept=990), earlier=Earlier([make_record(version="v1")]))
    assert "kept +10.0%, minutes ±0%" in text
    assert "this is the first version" in page(make_record())
    assert "damaged record" in page(make_record(), earlier=Earlier([], "damaged record"))


def test_phases_have_their_predicted_time_and_their_share() -> None:
    rows = rows_of(time_section(make_record(), make_observed()).text)
    assert rows == [
        ["phase 1: read", "2.20 s", "2.00 s", "50.00%"],
        ["phase 2: add up", "1.60 s", "1.50 s", "37.50%"],
        ["publish", "0.60 s", "0.50 s", "12.50%"],
        ["scatter", "1.25 s", "1.50 s", "31.25%"],
    ]


def test_what_is_made_once_is_shown_and_is_no_part_of_the_time_of_the_run() -> None:
    record = make_record()
    total = record["seconds"]["total"]
    later = record | {"prepare_seconds": 6.0, "seconds": record["seconds"] | {"total": total + 6.0}}
    rows = rows_of(time_section(later, make_observed()).text)
    assert rows[0] == ["prepare", "", "6.00 s", "60.00%"]
    on_cluster = later | {"prepare_seconds": 0.0, "start_seconds": 6.0}
    assert rows_of(time_section(on_cluster, make_observed()).text)[0] == ["cluster start", "", "6.00 s", "60.00%"]
    assert [row[0] for row in rows[1:4]] == ["phase 1: read", "phase 2: add up", "publish"]
    assert [card in summary(later).text for card in ("<dd>4.00 s<", "<dd>10.0 s<")] == [True, False]


def test_what_was_planned_stands_beside_what_was_reached() -> None:
    rows = {name: rest for name, *rest in rows_of(plan_section(make_record(), make_observed()).text)}
    assert rows["workers"] == ["2 asked, 2 planned", "3"]
    assert rows["splits"] == ["of 1 MB", "3, the largest 9 B"]
    assert rows["buckets"] == ["4 of at most 1,000,000 rows at once", "4 filled, the largest 8 rows"]
    assert rows["engine"] == ["auto", "polars"]
    spark = plan_section(make_record(engine="spark"), make_observed()).text
    assert "3 (the pool&#x27;s, then Spark&#x27;s)" in spark


def test_each_run_is_compared_with_the_one_before_and_the_newest_is_first() -> None:
    earlier = [make_record(run_id=f"v{n}", kept=800 + n) for n in range(14)]
    text = earlier_runs_section(make_record(kept=900), Earlier(earlier)).text
    rows = rows_of(text)
    assert [row[0].partition("<")[0] for row in rows] == [f"v{n}" for n in range(13, 3, -1)]
    assert all("20261101T000000Z-abcdef" in row[0] for row in rows), "the version, to go back to"
    assert "kept +10.7%" in text  # 900 of 813
    assert rows[0][2] == "813 <small>+0.1%</small>"
    assert rows[-1][2] == "804"  # the oldest one on the page
    assert "and 4 more, see run.json" in text


def test_a_run_that_kept_nothing_before_is_no_measure() -> None:
    text = earlier_runs_section(make_record(), Earlier([make_record(kept=0)])).text
    assert "kept cannot be compared" in text


def test_charts_are_described_in_numbers() -> None:
    text = time_section(make_record(), make_observed()).text
    (description,) = re.findall('aria-label="(Tasks .*?)"', text)
    assert "3 workers" in description
    assert (
        "4.00 s of the run: phase 1: read until 2.00 s, phase 2: add up until 3.50 s, publish until 4.00 s"
        in description
    )
    assert "500 MB" in description
