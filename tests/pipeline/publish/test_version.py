"""A version as it lies in its folder, and the records of runs that publish none."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from config import Config
from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import no_advance
from pipeline.engines.choose import EngineChoice
from pipeline.errors import BalanceError
from pipeline.planning.run_settings import read_settings
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.facts import RunFacts
from pipeline.publish.verify import Verdict
from pipeline.publish.version import record_failure, record_stopped, write_version
from pipeline.quality import QualityResult
from pipeline.timing import Watch
from tests.harness import GEO, HEADER, Harness
from tests.pipeline.publish.runs import Calls, make_facts

LOG = (
    HEADER + b"1,ann,t,v,tv,1.0.0.1,2\n2,ann,t,v,tv,1.0.0.2,0.5\n3,bob,t,v,tv,2.0.0.1,7\nbad\n1,eve,t,v,tv,1.0.0.1,1\n"
)
STOPPED = Verdict((QualityResult("rejected", 1, 5, "fail", 0.1),), "a quality gate stopped publication: rejected")


@pytest.fixture
def harness() -> Iterator[Harness]:
    with Harness([LOG]) as run:
        yield run


@pytest.fixture
def watch() -> Iterator[Watch]:
    progress: Any = Calls()
    with Watch("20261101T000000Z-abcdef", progress) as watch:
        yield watch


def facts_of(harness: Harness, **changes: Any) -> RunFacts:
    phase1 = harness.read()
    phase2 = aggregate_all(harness.engine, harness.aggregate_context, phase1.splits, 2, no_advance)
    changes = {"workspace": harness.workspace, "geo": GEO.load()} | changes
    changes["config"] = Config(OUTPUT_DIR=str(harness.root / "output"), **changes.pop("settings", {}))
    (harness.root / "output.versions").mkdir()
    return make_facts(harness.root, phase1, phase2, **changes)


def read_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return record


def test_a_version_has_its_data_quarantine_records_and_report(harness: Harness, watch: Watch) -> None:
    facts, folder = facts_of(harness), harness.root / "new"
    engine: Any = harness.engine
    result = write_version(engine, folder, facts, watch)
    assert {path.name for path in folder.iterdir()} == {"data", "quarantine", "geo.json", "run.json", "report.html"}
    rows = duckdb.execute(
        f"select geo_region, user_id, total_watch_time_min, event_count from '{folder}/data/*/*.parquet' order by 1, 2"
    ).fetchall()
    assert rows == [("Asia", "ann", 2.5, 2), ("Europe", "bob", 7.0, 1)]
    quarantine = duckdb.execute(f"select reason, raw from '{folder}/quarantine/*.parquet' order by 1").fetchall()
    assert quarantine == [("conflict", b"1,eve,t,v,tv,1.0.0.1,1"), ("wrong_field_count", b"bad")]
    record = read_record(folder)
    assert (record["kept"], record["conflicts"], record["rejected"], record["users"]) == (3, 1, 1, 2)
    assert record["version"] == result.version == watch.run_id
    assert record["settings"]["OUTPUT_DIR"] == str(harness.root / "output")
    assert record["profile"], "stages until the record was written"
    assert json.loads((folder / "geo.json").read_text(encoding="utf-8"))["names"] == list(GEO.load().names)
    assert watch.run_id in (folder / "report.html").read_text(encoding="utf-8")
    assert set(watch._laps) == {"publish"}


def test_settings_reach_the_files(harness: Harness, watch: Watch) -> None:
    settings = {"QUARANTINE_RAW": False, "COMPRESSION": "none"}
    engine: Any = harness.engine
    write_version(engine, harness.root / "new", facts_of(harness, settings=settings), watch)
    assert duckdb.execute(f"select distinct raw from '{harness.root}/new/quarantine/conflicts.parquet'").fetchall() == [
        (None,)
    ]
    codecs = duckdb.execute(
        f"select distinct compression from parquet_metadata('{harness.root}/new/data/*/*.parquet')"
    ).fetchall()
    assert codecs == [("UNCOMPRESSED",)]


def test_a_run_that_a_gate_stopped_leaves_quarantine_record_and_report(harness: Harness, watch: Watch) -> None:
    facts = facts_of(harness, verdict=STOPPED)
    engine: Any = harness.engine
    result = record_stopped(engine, facts, watch)
    folder = Path(harness.workspace.root) / "stopped"
    assert {path.name for path in folder.iterdir()} == {"quarantine", "run.json", "report.html"}
    assert (result.status, result.error) == ("failed", STOPPED.stopped)
    assert (result.quarantine, result.report) == (str(folder / "quarantine"), str(folder / "report.html"))
    assert (result.kept, result.output_rows, result.top_regions) == (3, 0, ())
    record = read_record(folder)
    assert (record["status"], record["error"], record["output_rows"]) == ("failed", STOPPED.stopped, 0)
    assert not (harness.root / "output.versions").joinpath(watch.run_id).exists()


def test_a_run_without_files_leaves_its_record(tmp_path: Path, watch: Watch) -> None:
    settings = read_settings(Config(INTERMEDIATE_DIR="between"))
    place: Any = SimpleNamespace(workspace=SimpleNamespace(root=str(tmp_path)))
    phase1 = Phase1Result((), {"a.csv": "no header"})
    result = record_failure(settings, EngineChoice(spark=False), place, phase1, watch)
    record = read_record(tmp_path)
    assert record["error"] == result.error
    assert record["refused_files"] == [{"file": "a.csv", "reason": "no header"}]
    assert record["settings"]["INTERMEDIATE_DIR"] == "between"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_no_record_is_written_of_a_version_that_lacks_a_record(harness: Harness, watch: Watch) -> None:
    facts = facts_of(harness)
    wrong = Phase2Result(facts.added_up.result.buckets, 0, 2)
    facts.added_up.result = wrong  # type: ignore[misc]
    engine: Any = harness.engine
    with pytest.raises(BalanceError, match="1 conflicts, expected 1 and 2"):
        write_version(engine, harness.root / "new", facts, watch)
    assert not (harness.root / "new" / "run.json").exists()
