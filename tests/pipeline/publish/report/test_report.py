"""The report in its folder, with the runs before it."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish.report import write_report
from tests.pipeline.publish.report.records import make_observed, make_record


def make_version(folder: Path) -> Path:
    (folder / "quarantine").mkdir(parents=True)
    pq.write_table(SCHEMA.empty_table(), folder / "quarantine" / "rejected.parquet")
    return folder


def write_report_of(folder: Path, output: Path) -> str:
    write_report(folder, make_record(), make_observed(), str(output))
    return (folder / "report.html").read_text(encoding="utf-8")


def test_earlier_versions_are_compared_and_a_damaged_one_stops_no_run(tmp_path: Path) -> None:
    output = tmp_path / "output"
    versions = tmp_path / "output.versions"
    folder = make_version(versions / ".new-20261101T000000Z-abcdef")
    assert "this is the first version" in write_report_of(folder, output)
    earlier = versions / "20261001T000000Z-aaaaaa"
    earlier.mkdir()
    (earlier / "run.json").write_text(json.dumps(make_record(version=earlier.name)))
    assert earlier.name in write_report_of(folder, output)
    (earlier / "run.json").write_text("{")
    assert "They cannot be compared: cannot read" in write_report_of(folder, output)


def test_a_name_that_is_no_text_is_written_as_escapes(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "output.versions" / ".new-20261101T000000Z-abcdef")
    record = make_record(notes=["a\udcff.csv"])
    write_report(folder, record, make_observed(), str(tmp_path / "output"))
    assert "a\\udcff.csv" in (folder / "report.html").read_text(encoding="utf-8")
