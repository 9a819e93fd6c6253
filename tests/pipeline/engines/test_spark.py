"""The Spark engine: the same result as the embedded one by both plans, and what happens when something breaks."""

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import psutil
import pytest

from config import Config
from pipeline import KERNEL_MODULES
from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.incremental.driver import aggregate_changes, find_change, previous_version
from pipeline.aggregate.spark_plan import aggregate_by_sql
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Advance, no_advance
from pipeline.engines.spark import SparkEngine
from pipeline.errors import BalanceError, EnvironmentFault
from pipeline.exchange.loser_places import place_files, read_places
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import Phase1Result, PlacedSplit
from tests.harness import HEADER, Harness
from tests.needs import needs_java
from tests.pace import patient

WORKERS = 2
pytestmark = needs_java


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkEngine]:
    """One JVM for all tests here. The last one kills it."""
    with Harness([]) as harness, SparkEngine(Config(), Path(harness.workspace.root), WORKERS, KERNEL_MODULES) as engine:
        yield engine


def by_sql(
    spark: SparkEngine, harness: Harness, splits: list[PlacedSplit], advance: Advance = no_advance
) -> Phase2Result:
    """Phase 2 by Spark's own plan."""
    return aggregate_by_sql(spark, harness.aggregate_context, splits, 3, advance)


def make_files(seed: int) -> list[bytes]:
    """Three files with copies and conflicts of the same ids in one file and across files and users, and ties."""
    dice = random.Random(seed)
    files = []
    for _ in range(3):
        rows = []
        for _ in range(800):
            number = dice.randrange(1000)
            user = f"u{number % 90}" if dice.random() < 0.8 else f"ü{dice.randrange(5)}"
            stamp = dice.choice(["", "x", f"2026-01-0{dice.randrange(1, 10)}T00:00:00Z"])
            watch = dice.choice(["1.5", "2", "2.25"])
            rows.append(f"id-{number},{user},{stamp},v,tv,10.0.0.{dice.randrange(1, 4)},{watch}\n")
        files.append(HEADER + "".join(rows).encode())
    return files


def clean(harness: Harness) -> None:
    """Remove what Phase 2 has written."""
    for kind in ("totals", "pending", "corrections", "conflicts", "merge"):
        folder = harness.workspace.path(kind, "x").parent
        shutil.rmtree(folder)
        folder.mkdir()


def picture(harness: Harness, totals: Phase2Result) -> tuple[object, ...]:
    """All that Phase 2 decides: counts, totals by user and region, where the losers lie."""
    parts = []
    for bucket in totals.buckets:
        frame = pl.read_parquet(harness.workspace.path("totals", f"bucket-{bucket.bucket:04d}.parquet"))
        assert frame.schema == {
            "user_id": pl.String,
            "region": pl.UInt16,
            "micro_minutes": pl.Int64,
            "event_count": pl.Int64,
        }
        assert frame["region"].is_sorted()
        assert list(bucket.regions) == frame["region"].unique().sort().to_list()
        parts.append(frame)
    rows = sorted(pl.concat(parts).rows())
    return (
        totals.kept,
        totals.duplicates,
        totals.conflicts,
        totals.users,
        rows,
        read_places(place_files(harness.workspace), 0, 2**64).tolist(),
    )


@pytest.mark.parametrize("keep", ["longest", "first", "last"])
def test_both_plans_agree_with_the_embedded_engine(spark: SparkEngine, keep: str) -> None:
    with Harness(make_files(1), keep=keep, split_bytes=20_000) as harness:
        outcome: Phase1Result = harness.read()
        local = picture(
            harness, aggregate_all(harness.engine, harness.aggregate_context, outcome.splits, WORKERS, no_advance)
        )
        assert local[2] > 100
        advanced: list[int] = []

        clean(harness)
        kernel = aggregate_all(spark, harness.aggregate_context, outcome.splits, WORKERS, advanced.append)
        assert picture(harness, kernel) == local
        handed_over = sum(split.result.handed_over for split in outcome.splits)
        assert sum(advanced) == handed_over

        clean(harness)
        advanced.clear()
        assert picture(harness, by_sql(spark, harness, outcome.splits, advanced.append)) == local
        assert sum(advanced) == handed_over


@pytest.mark.parametrize("added", [1, 2], ids=["one file comes", "one file comes and one goes"])
def test_an_incremental_phase_2_agrees_with_the_embedded_engine(spark: SparkEngine, added: int) -> None:
    """The second version of a history: Spark and one process make the totals of all rows from what changed."""
    with Harness(make_files(5), split_bytes=20_000) as harness:
        ledgers = harness.read().ledgers
        first = [split for ledger in ledgers[:2] for split in ledger.splits]
        second = [split for ledger in ledgers[added - 1 :] for split in ledger.splits]
        phase2 = aggregate_all(harness.engine, harness.aggregate_context, first, WORKERS, no_advance)
        counts = {"buckets": 4, "kept": phase2.kept, "duplicates": phase2.duplicates, "conflicts": phase2.conflicts}
        store = harness.workspace.root
        previous = previous_version(Path(store), counts, {split.result.split.number: split.result for split in first})
        change = find_change(previous, second, most_changed=9)
        assert previous
        assert change
        advanced: list[int] = []
        pictures = []
        for engine in (harness.engine, spark):
            workspace = Workspace(str(harness.root / engine.name), store)
            workspace.create()
            harness.read_context = replace(harness.read_context, workspace=workspace)
            made = aggregate_changes(engine, harness.aggregate_context, previous, change, WORKERS, advanced.append)
            assert made
            pictures.append(picture(harness, made))
        assert pictures[0] == pictures[1]
        assert sum(advanced) == 2 * change.rows, "each engine tells of every row of the changed splits"
        assert list(change.removed) == [split.result.split.number for split in first if split not in second]

        workspace = Workspace(str(harness.root / "anew"), store)
        workspace.create()
        harness.read_context = replace(harness.read_context, workspace=workspace)
        anew = aggregate_all(harness.engine, harness.aggregate_context, second, WORKERS, no_advance)
        assert picture(harness, anew) == pictures[0]


def test_the_sql_plan_needs_no_pandas(spark: SparkEngine, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with Harness(make_files(4)) as harness:
        assert by_sql(spark, harness, harness.read().splits).kept > 0


def test_nothing_handed_over(spark: SparkEngine) -> None:
    with Harness([HEADER]) as harness:
        assert by_sql(spark, harness, harness.read().splits).kept == 0
        assert list(spark.map(lambda *_: None, None, [], no_advance)) == []


def test_folder_names_are_not_patterns(spark: SparkEngine, tmp_path: Path) -> None:
    with Harness(make_files(2)) as harness:
        outcome = harness.read()
        expected = aggregate_all(harness.engine, harness.aggregate_context, outcome.splits, WORKERS, no_advance)
        odd = tmp_path / "a [1] {x,y}*? ü%20"
        shutil.move(harness.workspace.root, odd)
        harness.read_context = replace(harness.read_context, workspace=Workspace(str(odd)))
        assert by_sql(spark, harness, outcome.splits).kept == expected.kept


def test_a_lost_row_is_noticed(spark: SparkEngine) -> None:
    with Harness(make_files(3)) as harness:
        outcome = harness.read()
        path = harness.workspace.path("rows", "split-000001.parquet")
        pl.read_parquet(path)[1:].write_parquet(path)
        with pytest.raises(BalanceError, match=r"does not balance: \d+ rows handed over"):
            by_sql(spark, harness, outcome.splits)


@pytest.mark.parametrize("events", [5_000, 9_223, 9_224, 10_000])
def test_sums_up_to_int64_are_exact_and_beyond_it_refused(spark: SparkEngine, events: int) -> None:
    rows = "".join(f"id-{n},u,,v,tv,10.0.0.1,1000000000\n" for n in range(events))
    with Harness([HEADER + rows.encode()]) as harness:
        splits = harness.read().splits
        if events * 10**15 < 2**63:
            (bucket,) = by_sql(spark, harness, splits).buckets
            assert [micro for _, _, micro in bucket.regions.values()] == [events * 10**15]
        else:
            with pytest.raises(BalanceError, match=r"64-bit sum of\s+micro-minutes"):
                by_sql(spark, harness, splits)


def test_workers_have_one_thread_and_this_interpreter(spark: SparkEngine) -> None:
    def kernel(*_: object) -> tuple[str, int]:
        return sys.executable, pl.thread_pool_size()

    assert dict(spark.map(kernel, None, [1, 2], no_advance)) == dict.fromkeys((1, 2), (sys.executable, 1))


def test_a_killed_worker_is_an_environment_fault(spark: SparkEngine) -> None:
    """Its tasks must not run twice yet (``spark.task.maxFailures``)."""

    def kernel(_context: object, task: int, _advance: object) -> None:
        if task == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(EnvironmentFault, match="Spark failed in Phase 2"):
        list(spark.map(kernel, None, list(range(8)), no_advance))
    assert len(list(spark.map(kernel, None, [1, 2], no_advance))) == 2


def test_a_dead_jvm_is_an_environment_fault(spark: SparkEngine) -> None:
    """The last test of this module: no other can follow."""

    def kernel(*_: object) -> None:
        time.sleep(60)

    # Spark starts in the background, and this may be the first test that a worker runs: wait for the JVM.
    assert dict(spark.map(lambda *_: 1, None, [1], no_advance)) == {1: 1}
    # Another module's cluster may run beside it, whose daemons are other programs of Java.
    (java,) = [child for child in psutil.Process().children() if "PythonGatewayServer" in " ".join(child.cmdline())]
    family = [java, *java.children(recursive=True)]
    timer = threading.Timer(2, java.kill)
    timer.start()
    with pytest.raises(EnvironmentFault, match=r"Spark failed in Phase 2 .*own log is .*spark\.log"):
        list(spark.map(kernel, None, [1, 2], no_advance))
    timer.join()
    _, alive = psutil.wait_procs(family, timeout=patient(10))
    assert not alive
