"""``plan`` changes nothing and predicts what a run does; a run reports the error of its prediction."""

import gzip
import json
import os
from pathlib import Path

import pytest

from benchmarks.shapes import Shape, make_logs
from tests.end_to_end.command import command
from tests.end_to_end.program import environment, run_json

SIZES = ("workers", "split_bytes", "buckets", "bucket_rows")


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        os.path.join(root, name): (os.stat(os.path.join(root, name)).st_mtime_ns, os.stat(root).st_mtime_ns)
        for root, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


def asked(folder: Path, *options: object) -> dict:
    ended = command("plan", "--input", "logs", "--engine", "polars", "--json", *options, cwd=folder)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def recorded(folder: Path) -> dict:
    return json.loads(((folder / "pipeline_data" / "output").resolve().parent / "run.json").read_text())


def test_a_run_does_what_was_planned(tmp_path: Path) -> None:
    truth = make_logs(Shape("x", 60_000_000, files=3), tmp_path / "logs")  # no worker is late for all of the work
    before = everything(tmp_path)
    planned = asked(tmp_path)
    assert everything(tmp_path) == before
    assert (planned["files"], planned["engine"]) == ({"read": 3}, "polars")
    assert planned["records"] == pytest.approx(truth.records, rel=0.02)
    answer = run_json("--input", "logs", cwd=tmp_path)  # the memory of a program of its own
    found = recorded(tmp_path)["plan"]
    assert {name: found[name] for name in SIZES} == {name: planned["plan"][name] for name in SIZES}
    assert found["peak_memory_bytes"] == planned["prediction"]["peak_memory_bytes"]
    assert found["peak_memory_bytes"] == pytest.approx(answer["peak_memory_bytes"], rel=0.4)
    files = (tmp_path / "pipeline_data" / "intermediate").rglob("*-*.[pn]*")  # of splits and buckets
    stored = sum(path.stat().st_size for path in files if path.suffix in (".parquet", ".npy"))
    assert found["intermediate_bytes"] == pytest.approx(stored, rel=0.12)
    assert found["seconds"] > 0

    # What was read is not read again.
    again = asked(tmp_path)
    assert (again["files"], again["bytes"], again["prediction"]["intermediate_bytes"]) == ({"reuse": 3}, 0, 0)
    anew = asked(tmp_path, "--full-refresh")
    assert anew["files"] == {"read": 3}


def test_the_tables_say_it_to_people(tmp_path: Path) -> None:
    make_logs(Shape("x", 400_000, files=2), tmp_path / "logs")
    (tmp_path / "logs" / "bad.csv").write_text("a,b\n1,2\n")
    packed = (tmp_path / "logs" / "day-0001.csv").read_bytes()
    (tmp_path / "logs" / "day-0001.csv").unlink()
    (tmp_path / "logs" / "day-0001.csv.gz").write_bytes(gzip.compress(packed))
    ended = command("plan", "--input", "logs", "--engine", "polars", cwd=tmp_path)
    assert ended.code == 0, ended.err
    for part in (
        "3 read",
        " kB, about",
        "workers",
        "buckets",
        "memory",
        "free there",
        "refused: logs/bad.csv: no header",
    ):
        assert part in ended.out, part
    assert not (tmp_path / "pipeline_data").exists()
    ran = command("--input", "logs", "--engine", "polars", "--json", cwd=tmp_path)
    assert ran.code == 6
    assert {"seconds", "peak_memory_bytes", "workers", "learned"} <= set(ran.answer["plan"])


def test_a_plan_fails_as_the_run_would(tmp_path: Path) -> None:
    assert command("plan", "--input", "nowhere", cwd=tmp_path).code == 3
    (tmp_path / "logs").mkdir()
    assert command("plan", "--input", "logs", "--workers", "0", cwd=tmp_path).code == 2


def test_every_answer_says_which_engine_auto_takes_and_why(tmp_path: Path) -> None:
    make_logs(Shape("x", 400_000, files=2), tmp_path / "logs")
    why = "Spark pays from 5 GB on; --engine spark insists"
    for words in (["plan"], ["run", "--dry-run"], ["run"], ["run"]):
        ended = command(*words, "--input", "logs", "--json", cwd=tmp_path)
        assert ended.code == 0, ended.err
        answer = json.loads(ended.out)
        assert (answer["engine"], answer["engine_note"]) == ("polars", why), words
    assert recorded(tmp_path)["engine_note"] == why
    shown = command("--input", "logs", "--dry-run", cwd=tmp_path, env=environment(ENGINE="polars")).out
    assert shown.endswith("engine: polars\n")


def test_a_plan_may_be_about_a_cluster_and_more_input(tmp_path: Path) -> None:
    make_logs(Shape("x", 400_000, files=2), tmp_path / "logs")
    assert "cluster" not in asked(tmp_path)
    disk = asked(tmp_path, "--cluster", "8x16")["cluster"]
    assert (disk["cores"], disk["splits"], disk["reads"]) == (128, 2, 0)
    stored = asked(tmp_path, "--cluster", "8x16", "--storage", "s3", "--as-if", "1TB")["cluster"]
    assert 10_000 <= stored["splits"] < 25_000, "of logs of 1 GB, though these are small"
    assert stored["request_dollars"] > 1
    told = command("plan", "--input", "logs", "--cluster", "50x16", "--storage", "s3", "--as-if", "1TB", cwd=tmp_path)
    assert told.code == 0, told.err
    for text in ("on 800 cores", "that read", "USD by list prices of S3", "beside SPARK_DRIVER_MEMORY"):
        assert text in told.out


def test_a_cluster_begins_with_nothing_whatever_was_read_here(tmp_path: Path) -> None:
    make_logs(Shape("x", 400_000, files=2), tmp_path / "logs")
    options = "--cluster", "8x16", "--storage", "s3", "--as-if", "10GB"
    before = asked(tmp_path, *options)["cluster"]
    assert before["splits"] > 0
    run_json("--input", "logs", "--engine", "polars", cwd=tmp_path)
    after = asked(tmp_path, *options)
    assert (after["files"], after["cluster"]["splits"]) == ({"reuse": 2}, before["splits"])
    assert after["cluster"]["reads"] == before["reads"]


def test_without_records_a_cluster_is_not_predicted(tmp_path: Path) -> None:
    make_logs(Shape("x", 400_000, files=1), tmp_path / "logs")
    (log,) = (tmp_path / "logs").iterdir()
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    assert asked(tmp_path)["records"] == 0
    ended = command("plan", "--input", "logs", "--cluster", "8x16", "--as-if", "1TB", cwd=tmp_path)
    assert ended.code == 3
    assert "input 'logs' has no records from which a run on a cluster could be predicted" in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cluster", "8"], "--cluster is '8': expected nodes and the cores of each, such as 8x16."),
        (["--cluster", "8x16", "--storage", "gcs"], "--storage is 'gcs': expected disk or s3."),
        (["--cluster", "8x16", "--as-if", "much"], "--as-if: 'much' is not a size"),
        (["--cluster", "8x16", "--as-if", "0"], "--as-if is '0': expected a size above 0."),
        (["--as-if", "1TB"], "--storage and --as-if are about a cluster: expected --cluster, too"),
    ],
)
def test_a_cluster_that_is_none_is_refused(options: list[str], message: str, tmp_path: Path) -> None:
    ended = command("plan", *options, cwd=tmp_path)
    assert ended.code == 2
    assert message in ended.err
