"""Sections on what became of the records."""

import re

import pytest

from pipeline.publish.report.record_sections import (
    files_section,
    flow_section,
    notices_section,
    quality_section,
    regions_section,
    rejected_section,
    summary,
)
from pipeline.publish.report.samples import Sample
from tests.pipeline.publish.report.records import make_record, page


def cells(text: str) -> list[str]:
    """The texts of all cells of a table's rows, bars as their width."""
    found = re.findall(r'<t[dh](?: scope="row"| class="\w+")*>(.*?)</t[dh]>', text.split("<tbody>", 1)[1])
    return [re.sub(r'<span class="bar \w*" style="width:(.*?)"></span>', r"\1", cell) for cell in found]


def test_many_regions_are_folded() -> None:
    regions = [{"region": f"C{number:03}", "users": 1, "events": 1, "minutes": 1.0} for number in range(60)]
    shown, folded = page(make_record(regions=regions)).split("36 more regions")
    assert [name for name in (f"C{number:03}</th>" for number in range(60)) if name in shown] == [
        f"C{number:03}</th>" for number in range(24)
    ]
    assert [shown.count(f"C{number:03}</th>") + folded.count(f"C{number:03}</th>") for number in range(60)] == [1] * 60


def test_a_blank_value_is_told_from_none() -> None:
    samples = {"blank_user_id": [Sample("f", 1, "user_id", " "), Sample("f", 2, "user_id", "")]}
    text = page(make_record(), samples)
    assert "f:1 user_id <code>(blank)</code>" in text
    assert "f:2 user_id <code>(empty)</code>" in text


def test_a_section_without_content_is_left_out() -> None:
    empty = make_record(regions=[], rejected_by_reason={})
    sections = notices_section(empty), quality_section(empty), regions_section(empty), rejected_section(empty, {})
    assert sections == (None,) * 4


def test_the_status_has_a_colour() -> None:
    assert '<span class="mark ok">done</span>' in summary(make_record()).text
    assert '<span class="mark warn">done, but not with every file</span>' in summary(make_record(status="partial")).text
    assert '<span class="mark fail">failed</span>' in summary(make_record(status="failed")).text


def test_notices_come_in_order_and_no_reason_shows_a_record() -> None:
    record = make_record(
        error="no disk", notes=["one", "two"], engine_note="auto", skipped_files=["a.txt"],
        refused_files=[{"file": "b.csv", "reason": "expected log_id. Line 3 has: ann, 8.8.8.8."}],
    )  # fmt: skip
    section = notices_section(record)
    assert section
    assert re.findall("<li>(.*?)</li>", section.text) == [
        '<span class="mark fail">failed</span> no disk',
        '<span class="mark fail">refused</span> b.csv: expected log_id.',
        '<span class="mark">note</span> one',
        '<span class="mark">note</span> two',
        '<span class="mark">note</span> auto',
        "1 other file skipped: a.txt",
    ]


def test_lines_that_do_not_fit_are_counted() -> None:
    section = notices_section(make_record(notes=["n"] * 60, refused_files=[{"file": "f", "reason": "r"}] * 53))
    assert section
    assert section.text.count("<li>") == 50 + 50 + 1
    assert "and 13 more lines, see run.json" in section.text


def test_gates_with_and_without_a_limit() -> None:
    gate = {"name": "rejected", "count": 2000, "share": 0.02, "limit": 0.01, "outcome": "fail"}
    rule = {"name": "rule:tv", "count": 3, "share": 0.00003, "limit": None, "outcome": "reject"}
    section = quality_section(make_record(quality=[gate, rule]))
    assert section
    assert cells(section.text) == [
        "rejected", '<span class="mark fail">fail</span>', "2,000", "2.0000%", "1.0000%",
        "rule:tv", '<span class="mark warn">reject</span>', "3", "0.0030%", "",
    ]  # fmt: skip


def test_the_flow_adds_up_to_the_records_read() -> None:
    found = cells(flow_section(make_record()).text)
    assert [name.partition("<")[0] for name in found[::3]] == ["kept", "duplicates", "conflicts", "rejected"]
    assert sum(int(number.replace(",", "")) for number in found[1::3]) == 1000
    assert found[2::3] == ["90.00%", "6.00%", "2.00%", "2.00%"]


@pytest.mark.parametrize(
    ("rejected", "read", "scale", "widths"),
    [
        ({"bad_quote": 5, "blank_user_id": 15}, 1000, "2%", ["75.00%", "25.00%"]),
        ({"bad_quote": 5}, 1_000_000, "1%", ["0.05%"]),
        ({"bad_quote": 10}, 1000, "1%", ["100.00%"]),
        ({"bad_quote": 11}, 1000, "2%", ["55.00%"]),
        ({"bad_quote": 7}, 7, "100%", ["100.00%"]),
        ({"bad_quote": 7}, 0, "100%", ["0.00%"]),  # never seen: what is rejected was read
    ],
)
def test_rejects_are_drawn_on_the_scale_of_what_was_read(
    rejected: dict[str, int], read: int, scale: str, widths: list[str]
) -> None:
    section = rejected_section(make_record(rejected_by_reason=rejected, records_read=read), {})
    assert section
    assert f"0 to {scale} of the records read" in section.text
    assert cells(section.text)[3::4] == widths


def test_a_reason_is_explained_in_plain_words() -> None:
    section = rejected_section(make_record(rejected_by_reason={"rule:tv": 3, "bad_quote": 2, "<odd>": 1}), {})
    assert section
    assert cells(section.text)[::4] == [
        "rule:tv<small>the record breaks this rule of RECORD_RULES</small>",
        "bad_quote<small>text follows a closing quote</small>",
        "&lt;odd&gt;",
    ]


def test_the_header_has_date_input_and_version() -> None:
    settings = make_record()["settings"] | {"INPUT_DIR": "/data/logs"}
    text = summary(make_record(settings=settings)).text
    for fact in ("1 November 2026, 00:00 UTC", "/data/logs (2 files, 100 kB)", "20261101T000000Z-abcdef", "polars"):
        assert f"<dd>{fact}</dd>" in text, fact
    assert "published nothing" in summary(make_record(version="")).text


def test_what_a_run_read_itself_is_told_from_what_it_knew() -> None:
    assert "all in this run" in summary(make_record()).text
    new = {"files": 1, "bytes_read": 4000}
    assert "1 file, 4 kB in this run" in summary(make_record(new=new)).text
    assert "a second" in summary(make_record(new=new)).text
    assert "a second" not in summary(make_record(new={"files": 0, "bytes_read": 0})).text, "nothing read has no speed"


def test_files_with_most_rejects_come_first() -> None:
    ledger = [
        {"file": name, "bytes": 1000, "records": records, "duplicates": 0, "rejected": rejected}
        for name, records, rejected in (("c", 5, 1), ("b", 9, 1), ("a", 9, 1), ("d", 1, 2))
    ]
    text = files_section(make_record(ledger=ledger)).text
    assert cells(text)[::5] == ["d", "a", "b", "c"]
    assert "4 files, most rejected records first" in text


def test_samples_stand_below_their_reason() -> None:
    samples = {"bad_quote": [Sample("f", 3, "", "9,x")], "unknown": [Sample("g", 1, "", "x")]}
    section = rejected_section(make_record(), samples)
    assert section
    assert "<h3>bad_quote</h3><ul><li>f:3  <code>9,x</code></li></ul>" in section.text
    assert "unknown" not in section.text
    assert "blank_user_id</h3>" not in section.text
