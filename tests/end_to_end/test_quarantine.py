"""What becomes of records that do not count: kept for their owner, for a time, and without addresses or not at all."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl

from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment
from tests.harness import run_here

COLUMNS = ["file", "line", "byte_offset", "reason", "column", "value", "raw"]
GOOD = "a1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n"
SHIFTED = "a2,ann,2026-01-01T00:00:00Z,v,tv,1,203.0.113.77\n"
SHIFTED6 = "a3,ann,2026-01-01T00:00:00Z,v,tv,1,2001:db8:1:2::77\n"
LOSER = "a1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,0.5\n"


def logs_with_trouble(folder: Path) -> Path:
    """A log with two rejected records and a conflict, and one without a header, whose first line has an address."""
    (folder / "logs").mkdir()
    (folder / "logs" / "a.csv").write_text(HEADER + GOOD + SHIFTED + SHIFTED6 + LOSER)
    (folder / "logs" / "headless.csv").write_text(SHIFTED)
    return folder / "logs"


def texts_below(folder: Path) -> set[str]:
    """log_ids of the records below ``folder``, in quarantines and in the store, whose texts are kept."""
    kept = set()
    for path in folder.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        if "raw" in frame.columns:
            with_text = frame.filter(pl.col("value").is_not_null() | pl.col("raw").is_not_null())
            kept |= {(raw or b"?")[:2].decode() for raw in with_text["raw"]}
    return kept


def quarantine_of(folder: Path, answer: dict) -> Path:
    return folder / "pipeline_data" / "output.versions" / answer["run_id"] / "quarantine"


def test_polars_and_duckdb_read_it_and_nobody_else_may(tmp_path: Path) -> None:
    logs = logs_with_trouble(tmp_path)
    answer = command_json("--input", "logs", cwd=tmp_path, code=6)
    quarantine = quarantine_of(tmp_path, answer)
    whole = (logs / "a.csv").read_bytes()
    rejected = pl.read_parquet(quarantine / "rejected.parquet").sort("line")
    assert rejected.columns == COLUMNS
    assert rejected.rows() == [
        ("logs/a.csv", line, whole.index(raw), "watch_time_not_a_number", "watch_time(min)", value, raw)
        for line, value, raw in (
            (3, "203.0.113.0/24", SHIFTED.strip().encode()),
            (4, "2001:db8:1::/48", SHIFTED6.strip().encode()),
        )
    ]
    with duckdb.connect() as database:
        every = database.execute(
            f"select * exclude reason, reason from '{quarantine}/*.parquet' order by line"
        ).fetchall()
    assert [(row[0], row[1], row[5], row[6]) for row in every] == [
        ("logs/a.csv", 3, SHIFTED.strip().encode(), "watch_time_not_a_number"),
        ("logs/a.csv", 4, SHIFTED6.strip().encode(), "watch_time_not_a_number"),
        ("logs/a.csv", 5, LOSER.strip().encode(), "conflict"),
        ("logs/headless.csv", None, None, answer["refused_files"][0]["reason"]),
    ]
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in quarantine.iterdir()} == {0o600}


def test_addresses_leave_only_in_raw(tmp_path: Path) -> None:
    logs_with_trouble(tmp_path)
    ended = command("--input", "logs", "--engine", "polars", cwd=tmp_path)
    assert ended.code == 6
    texts = ended.out + ended.err + next((tmp_path / "pipeline_data").glob("output.versions/*/run.json")).read_text()
    assert "line 1 has the most fields" in texts
    assert "203.0.113" not in texts, "the first line of the file without a header is a record"
    planned = command("plan", "--input", "logs", "--full-refresh", "--engine", "polars", cwd=tmp_path)
    assert "203.0.113" not in planned.out + planned.err
    for path in (tmp_path / "pipeline_data").rglob("*.parquet"):
        frame = pl.read_parquet(path)
        text = json.dumps(frame.drop("raw", strict=False).rows(), default=str)
        assert "203.0.113.77" not in text, path
        assert "1:2::77" not in text, path


def test_raw_can_be_left_out_everywhere(tmp_path: Path) -> None:
    logs_with_trouble(tmp_path)
    answer = command_json("--input", "logs", cwd=tmp_path, code=6, env=environment(QUARANTINE_RAW="false"))
    files = [*quarantine_of(tmp_path, answer).iterdir(), *tmp_path.glob("pipeline_data/intermediate/**/rejects/*")]
    assert len(files) == 4
    for path in files:
        assert pl.read_parquet(path)["raw"].null_count() == len(pl.read_parquet(path))
    for path in (tmp_path / "pipeline_data").rglob("*"):
        assert path.is_dir() or b"203.0.113.77" not in path.read_bytes()
    rejected = pl.read_parquet(quarantine_of(tmp_path, answer) / "rejected.parquet")
    assert rejected.select("line", "value").rows() == [(3, "203.0.113.0/24"), (4, "2001:db8:1::/48")]


def test_what_is_older_than_the_retention_goes_with_the_next_run(tmp_path: Path) -> None:
    logs_with_trouble(tmp_path)
    versions = tmp_path / "pipeline_data" / "output.versions"
    first = tmp_path / "pipeline_data" / "output.versions" / run_here(tmp_path).run_id
    old = first.rename(versions / "20260101T000000Z-abcdef")
    (tmp_path / "pipeline_data" / "output").unlink()
    (tmp_path / "pipeline_data" / "output").symlink_to(f"output.versions/{old.name}/data")
    run_here(tmp_path, QUARANTINE_RETENTION_DAYS=36_500)
    assert (old / "quarantine").exists()
    ended = command("--input", "logs", "--engine", "polars", cwd=tmp_path)
    assert "QUARANTINE_RETENTION_DAYS" in ended.out
    assert old.name in ended.out
    assert not (old / "quarantine").exists()
    assert (old / "run.json").exists()
    assert len(list((old / "data").glob("*/*.parquet"))) == 1
    assert len(list(versions.glob("*/quarantine"))) == 2


def test_what_records_held_does_not_outlive_the_retention(tmp_path: Path) -> None:
    """Later runs go on from files that were read once: neither what they left nor later quarantines may keep texts."""
    logs = logs_with_trouble(tmp_path)
    (logs / "headless.csv").unlink()
    run_here(tmp_path)
    (logs / "b.csv").write_text(HEADER + SHIFTED.replace("a2", "b2"))
    run_here(tmp_path)
    work = tmp_path / "pipeline_data" / "intermediate"
    assert texts_below(work) == {"a2", "a3", "b2"}, "the loser is in the quarantine alone"
    with closing(sqlite3.connect(work / "manifest.sqlite")) as manifest:
        manifest.execute("UPDATE files SET read_at = read_at - ? WHERE shown = 'logs/a.csv'", (7 * 86_400 + 60,))
        manifest.commit()
    env = environment(QUARANTINE_RETENTION_DAYS=8)
    quarantine = quarantine_of(tmp_path, command_json("--input", "logs", cwd=tmp_path, env=env))
    assert texts_below(quarantine) == {"a1", "a2", "a3", "b2"}

    env = environment(QUARANTINE_RETENTION_DAYS=7) | {"COLUMNS": "1000"}
    ended = command("--input", "logs", "--engine", "polars", cwd=tmp_path, env=env)
    assert "texts of rejected records of 1 file," in " ".join(ended.out.split())
    quarantine = max(
        (tmp_path / "pipeline_data").glob("output.versions/*/quarantine"), key=lambda path: path.stat().st_mtime
    )
    assert texts_below(work) == texts_below(quarantine) == {"b2"}
    rejected = pl.read_parquet(quarantine / "rejected.parquet").sort("file", "line")
    assert rejected.select("line", "reason", "column").rows() == [
        (line, "watch_time_not_a_number", "watch_time(min)") for line in (3, 4, 2)
    ]
    conflict = pl.read_parquet(quarantine / "conflicts.parquet")
    assert conflict.select("line", "reason", "value", "raw").rows() == [(5, "conflict", None, None)]
    ended = command("explain", "a2", cwd=tmp_path)
    assert (ended.code, "203.0.113" in ended.out + ended.err) == (3, False)
    assert "QUARANTINE_RETENTION_DAYS" in ended.err, "it does not claim that there is no such record"
    assert "203.0.113.0/24" in command("explain", "b2", cwd=tmp_path).out


def test_a_run_of_which_nothing_is_left_leaves_its_record(tmp_path: Path) -> None:
    logs_with_trouble(tmp_path)
    (tmp_path / "logs" / "a.csv").unlink()
    answer = command_json("--input", "logs", cwd=tmp_path, code=3)
    (record,) = tmp_path.glob("pipeline_data/intermediate/run-*/run.json")
    assert str(record.relative_to(tmp_path)) in answer["error"]
    assert json.loads(record.read_text())["refused_files"] == answer["refused_files"]
    assert not list(tmp_path.glob("pipeline_data/output*/2*"))
