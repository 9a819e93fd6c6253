"""Results made of facts, against sums by hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from config import Config
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines.choose import EngineChoice
from pipeline.history.inventory import Inventory
from pipeline.history.known_list import FilesByPath
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.facts import make_result, nothing_counts_result, unchanged_result
from pipeline.publish.region_files import NOTHING_WRITTEN, Written
from pipeline.publish.result import RefusedFile, RunDelta, RunResult
from pipeline.publish.tasks import RegionTotal
from pipeline.publish.verify import Verdict
from pipeline.quality import QualityResult
from tests.pipeline.publish.runs import StoppedWatch, known_file, make_bucket, make_facts, make_ledger

NEW = make_ledger("new.csv", handed_over=60, duplicates=10, rejected_by_reason={"bad_quote": 5}, blank_lines=3)
OLD = make_ledger("old.csv", number=2, handed_over=20, rejected_by_reason={"bad_quote": 2, "nul_byte": 3})
PHASE1 = Phase1Result((NEW, OLD), {"b.csv": "it names 8.8.8.8", "a\udcff.csv": "why"}, resumed_splits=3)
PHASE2 = Phase2Result((make_bucket(0, {0: (4, 70, 10)}),), 6, 4)
WRITTEN = Written(4, 10, (RegionTotal("Asia", 4, 70, 1e-5),))
WATCH = StoppedWatch()


def test_a_result_has_the_sums_of_all_files_and_the_delta_those_that_were_read(tmp_path: Path) -> None:
    left, pruned = known_file("left.csv"), known_file("pruned.csv")
    inventory = Inventory(
        reused=FilesByPath.of({"old.csv": known_file("old.csv", splits=7)}),
        renamed=(("was.csv", "old.csv"),),
        replaced={"x.csv": known_file("x.csv"), "y.csv": known_file("y.csv"), "b.csv": known_file("b.csv")},
        missing=(left, pruned),
    )
    facts = make_facts(
        tmp_path,
        PHASE1,
        PHASE2,
        inventory=inventory,
        still_counted=(left,),
        read=(NEW,),
        predecessors={"b.csv": known_file("b.csv")},
        counts={"kept": 75, "duplicates": 2, "all_duplicates": 9, "conflicts": 4},
        verdict=Verdict((QualityResult("rejected", 10, 100, "warn", 0.05),), None),
    )
    result = make_result(facts, WRITTEN, ["a note"], WATCH)  # type: ignore[arg-type]
    assert (result.status, result.engine, result.engine_note) == ("partial", "polars", "auto: no Java")
    assert result.refused_files == (RefusedFile("a\\xff.csv", "why"), RefusedFile("b.csv", "it names 8.8.8.0/24"))
    assert (result.files, result.bytes_read, result.records_read, result.handed_over) == (2, 2000, 100, 80)
    assert (result.kept, result.duplicates_phase1, result.duplicates_phase2, result.conflicts) == (70, 10, 6, 4)
    assert (result.rejected, result.rejected_by_reason) == (10, {"bad_quote": 7, "nul_byte": 3})
    assert result.records_read == result.kept + result.duplicates + result.conflicts + result.rejected
    assert (result.blank_lines, result.preamble_lines, result.output_rows, result.users) == (3, 0, 4, 4)
    assert (result.top_regions, result.total_micro_minutes) == (WRITTEN.regions, 10)
    assert (result.notes, result.skipped_files) == (("a note",), ("README.md",))
    assert result.quality == facts.verdict.quality
    assert result.peak_memory_bytes == 123_456_789
    assert (result.geo_build, result.geo_attribution) == ("2026-11", "nobody")
    assert result.new == RunDelta(
        files=1, bytes_read=1000, records_read=75, kept=-5, duplicates=7, conflicts=0, rejected=5,
        reused_files=1, reused_splits=3 + 7, renamed_files=1, replaced_files=2, missing_files=1, pruned_files=1,
        resumed_splits=3,
    )  # fmt: skip
    assert result.throughput_bytes_per_second == 1000 / 4.0


def test_the_plan_has_every_size_and_every_predicted_figure(tmp_path: Path) -> None:
    plan = make_result(make_facts(tmp_path, PHASE1, PHASE2), WRITTEN, [], WATCH).plan  # type: ignore[arg-type]
    assert set(plan) == {
        "workers", "split_bytes", "buckets", "bucket_rows", "file_rows", "held_bytes", "task_rows", "bucket_bytes",
        "seconds", "phase1_seconds", "phase2_seconds", "publish_seconds", "peak_memory_bytes", "intermediate_bytes",
        "output_bytes",
    }  # fmt: skip
    assert plan["workers"] == 2
    assert plan["seconds"] == pytest.approx(sum(plan[f"{phase}_seconds"] for phase in ("phase1", "phase2", "publish")))


@pytest.mark.parametrize(
    ("phase1", "conflicts", "kept"),
    [
        (Phase1Result((make_ledger("a.csv", handed_over=1),)), 0, False),
        (Phase1Result((make_ledger("a.csv", handed_over=1),)), 1, True),
        (Phase1Result((make_ledger("a.csv", rejected_by_reason={"bad_quote": 1}),)), 0, True),
        (Phase1Result((make_ledger("a.csv", handed_over=1),), {"b.csv": "why"}), 0, True),
    ],
    ids=["nothing", "a conflict", "a rejected record", "a refused file"],
)
def test_a_quarantine_is_named_where_there_is_something_in_it(
    phase1: Phase1Result, conflicts: int, kept: bool, tmp_path: Path
) -> None:
    facts = make_facts(tmp_path, phase1, Phase2Result((), 0, conflicts))
    result = make_result(facts, NOTHING_WRITTEN, [], WATCH)  # type: ignore[arg-type]
    version = f"{tmp_path}/output.versions/{WATCH.run_id}"
    assert (result.version, result.report) == (WATCH.run_id, f"{version}/report.html")
    assert result.quarantine == (f"{version}/quarantine" if kept else None)


def test_an_unchanged_result_names_the_version_that_stays() -> None:
    result = RunResult("r2", "ok", "polars", "out", notes=("a note",), version="r2", quarantine="out.versions/r2/x")
    found = unchanged_result(result, "r1")
    assert (found.run_id, found.version, found.report) == ("r2", "r1", "out.versions/r1/report.html")
    assert found.quarantine == "out.versions/r1/quarantine"
    assert found.notes == ("a note", "nothing has changed since version r1, which stays the result: no new version")
    assert unchanged_result(RunResult("r2", "ok", "polars", "out"), "r1").quarantine is None


def test_a_run_without_files_says_where_its_record_is() -> None:
    watch = SimpleNamespace(run_id="r9", seconds=WATCH.seconds)
    config = Config(INTERMEDIATE_DIR="between", OUTPUT_DIR="out")
    phase1 = Phase1Result((), {"a.csv": "no header"})
    result = nothing_counts_result(config, EngineChoice(spark=True, note="why"), phase1, watch)  # type: ignore[arg-type]
    assert (result.status, result.engine, result.output, result.version) == ("failed", "spark", "out", "")
    assert result.engine_note == "why"
    assert result.error
    assert "the record of this run is between/run-r9/run.json." in result.error
    assert result.refused_files == (RefusedFile("a.csv", "no header"),)
    assert result.seconds == WATCH.time
