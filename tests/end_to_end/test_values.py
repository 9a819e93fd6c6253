"""The published values equal an independent computation, however the same records arrive."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipeline.geo.table import load_geo_table
from tests import reference
from tests.end_to_end import dirty
from tests.end_to_end.command import command_json
from tests.end_to_end.program import HEADER, compute_independently, environment, published, read_result, run, run_json
from tests.harness import run_here

LONGEST_RECORD = 2**20


def counts(answer: dict) -> dict[str, int]:
    return {name: answer[name] for name in ("kept", "duplicates", "conflicts")}


@pytest.mark.parametrize("level", ["region", "country"])
def test_values_are_those_of_an_independent_computation(logs: Path, region_of, tmp_path: Path, level: str) -> None:
    files = sorted(logs.glob("*.csv"))
    answer = command_json("--input", logs, "--geo-level", level, cwd=tmp_path)
    rows, expected = compute_independently(files, region_of(files, level))
    assert published(tmp_path) == rows
    assert counts(answer) == expected
    assert answer["conflicts"] > 100
    assert answer["records_read"] == sum(expected.values())
    assert answer["output_rows"] == len(rows)
    assert answer["users"] == len({user for _, user, _, _ in rows})
    assert answer["total_watch_time_min"] == pytest.approx(sum(row[2] for row in rows), rel=1e-12)


def test_small_parts_change_nothing(logs: Path, tmp_path: Path) -> None:
    """Splits inside files, many buckets and one worker, against the plan for this machine."""
    whole = run_here(tmp_path, logs, OUTPUT_DIR="whole").to_json()
    cut = environment(OUTPUT_DIR="cut", SPLIT_BYTES=300_000, CHUNK_BYTES=40_000, BUCKETS=64)
    parts = command_json("--input", logs, "--workers", 1, cwd=tmp_path, env=cut)
    assert read_result(tmp_path / "cut") == read_result(tmp_path / "whole")
    assert counts(parts) == counts(whole)


@pytest.mark.parametrize("keep", ["longest", "first", "last"])
def test_dirty_files_by_the_reference(tmp_path: Path, keep: str) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.csv").write_bytes(dirty.CRLF_AND_MARK)
    (logs / "b.tsv").write_bytes(dirty.SEMICOLONS)
    table = load_geo_table(None, "region", None, tmp_path)

    def region(address: str) -> str:
        return table.names[table.lookup(pl.Series([address]))[0]]

    expected = reference.run([path.read_bytes() for path in sorted(logs.iterdir())], LONGEST_RECORD, keep, region)
    answer = command_json("--input", logs, cwd=tmp_path, env=environment(DEDUPE_KEEP=keep))
    assert published(tmp_path) == sorted(
        (region, user, micro / 1e6, events) for (region, user), (micro, events) in expected.totals.items()
    )
    assert counts(answer) == {
        "kept": expected.kept, "duplicates": expected.duplicates, "conflicts": expected.conflicts
    }  # fmt: skip
    rejected = dict(answer["rejected_by_reason"])
    malformed = sum(rejected.pop(reason, 0) for reason in reference.MALFORMED_REASONS)
    assert rejected | {reference.MALFORMED: malformed} == dict(expected.rejected)
    quarantine = next((tmp_path / "pipeline_data").glob("output.versions/*/quarantine"))
    assert pl.read_parquet(quarantine / "rejected.parquet").height == answer["rejected"]
    assert pl.read_parquet(quarantine / "conflicts.parquet").height == answer["conflicts"]


def test_a_file_that_was_delivered_twice_counts_once(logs: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice"
    shutil.copytree(logs, twice)
    once = run_here(tmp_path, logs, OUTPUT_DIR="once").to_json()
    shutil.copy(min(twice.glob("*.csv")), twice / "again.csv")
    answer = command_json("--input", twice, cwd=tmp_path, env=environment(OUTPUT_DIR="again"))
    assert read_result(tmp_path / "again") == read_result(tmp_path / "once")
    assert (answer["kept"], answer["conflicts"]) == (once["kept"], once["conflicts"])
    assert answer["duplicates"] - once["duplicates"] == answer["records_read"] - once["records_read"]


def test_a_second_run_and_other_names_change_nothing(logs: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, path in enumerate(sorted(logs.glob("*.csv"))):
        shutil.copy(path, renamed / f"{9 - number} [a] b.csv")
    first = run_here(tmp_path, renamed).to_json()
    rows = published(tmp_path)
    second = command_json("--input", renamed, cwd=tmp_path)
    assert published(tmp_path) == rows
    command_json("--input", logs, "--full-refresh", cwd=tmp_path)
    assert published(tmp_path) == rows
    assert counts(first) == counts(second)
    assert first["run_id"] != second["run_id"]


def test_a_glob_and_a_single_file(logs: Path, tmp_path: Path) -> None:
    name = min(path.name for path in logs.glob("*.csv"))
    of_glob = run_here(tmp_path, f"{logs}/{name[:13]}*.csv").to_json()
    rows = published(tmp_path)
    of_file = command_json("--input", logs / name, "--full-refresh", cwd=tmp_path)
    assert of_glob["files"] == of_file["files"] == 1
    assert published(tmp_path) == rows


def test_regions_of_your_own(logs: Path, tmp_path: Path) -> None:
    table = tmp_path / "regions.csv"
    table.write_text("country,region\nDE,EMEA\nFR,EMEA\nJP,APAC\nUS,North/South\n")
    answer = command_json("--input", logs, cwd=tmp_path, env=environment(GEO_REGIONS=table))
    found = {row[0] for row in published(tmp_path)}
    assert {"UNKNOWN", "APAC", "EMEA", "North/South"} <= found
    assert found <= {"UNKNOWN", "APAC", "EMEA", "North/South", "PRIVATE", "INVALID"}
    assert answer["kept"] == sum(row[3] for row in published(tmp_path))


def test_other_columns_and_delimiters_are_the_same_records(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n")
    (tmp_path / "b.tsv").write_bytes(
        b"\xef\xbb\xbfmade by x\r\nminutes\tip_address\tlog_id\tuser_id\r\n2.25\t8.8.8.8\t2\tann\r\n\r\n"
    )
    (tmp_path / "notes.txt").write_text("not a log")
    (tmp_path / "logmill.toml").write_text('watch_time_column = ["watch_time(min)", "minutes"]\nengine = "spark"\n')
    answer = run_json("--input", ".", "--output", "o/out", "--intermediate", "i", "--config", "logmill.toml",
                      cwd=tmp_path, code=2)  # fmt: skip
    assert "INPUT_DIR" in answer["error"]
    inside = tmp_path / "logs"
    inside.mkdir()
    for name in ("a.csv", "b.tsv", "notes.txt"):
        (tmp_path / name).rename(inside / name)
    ended = run("--input", "logs", "--output", "o/out", "--intermediate", "i", "--config", "logmill.toml",
                "--engine", "polars", cwd=tmp_path)  # fmt: skip
    assert ended.code == 0, ended.err
    assert "notes.txt" in ended.out
    assert read_result(tmp_path / "o" / "out") == [("North America", "ann", 3.75, 2)]
    record = json.loads(next((tmp_path / "o").glob("out.versions/*/run.json")).read_text())
    assert (record["blank_lines"], record["preamble_lines"]) == (1, 1)
    assert record["engine"] == "polars"
