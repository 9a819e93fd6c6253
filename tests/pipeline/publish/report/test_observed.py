"""What is observed of a run, against files and counts made by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.aggregate.tasks import Phase2Result
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.report.observed import observe
from pipeline.timing import Span
from tests.pipeline.publish.runs import make_bucket, make_ledger
from utils.metrics import Series

MEMORY = Series(max, 0.1)
SPANS = [Span("read_parts", "a:1", 101.0, 102.0)]
WATCH: Any = SimpleNamespace(
    progress=SimpleNamespace(begin=100.0, phases=["a phase"]),
    memory=SimpleNamespace(samples=MEMORY, begin=100.25),
    spans=SPANS,
)
PHASE1 = Phase1Result((make_ledger("a.csv", handed_over=1), make_ledger("b.csv", number=2, handed_over=1)))
PHASE2 = Phase2Result((make_bucket(0, {0: (1, 2, 3)}, rows=40), make_bucket(3, {0: (1, 1, 1)}, rows=7)), 0, 0)


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data" / "geo_region=Asia" / "part-0.parquet", 1000)
    write(tmp_path / "data" / "_SUCCESS", 0)
    return tmp_path / "data"


def test_sizes_are_those_on_the_disk_without_expanded_inputs(tmp_path: Path, data: Path) -> None:
    workspace = Workspace(str(tmp_path / "run"), str(tmp_path / "store"))
    write(workspace.path("totals", "bucket-0000.parquet"), 1)
    write(workspace.path("pending", "x.parquet"), 2)
    write(workspace.path("spool", "a.csv"), 10_000)
    write(workspace.path("rows", "split-000001.parquet"), 4)
    write(workspace.path("index", "split-000001.npy"), 8)
    write(workspace.path("lines", "split-000002.npy"), 16)
    write(workspace.path("rows", "split-000009.parquet"), 20_000)  # of another run
    found = observe(WATCH, PHASE1, PHASE2, workspace, data).reached
    assert found == {
        "splits": 2,
        "largest_split_bytes": 1000 - 41,
        "buckets": 2,
        "largest_bucket_rows": 40,
        "intermediate_bytes": 1 + 2 + 4 + 8 + 16,
        "output_bytes": 1000,
    }


def test_without_a_store_no_file_is_counted_twice(tmp_path: Path, data: Path) -> None:
    workspace = Workspace(str(tmp_path / "run"))
    write(workspace.path("rows", "split-000001.parquet"), 4)
    assert observe(WATCH, PHASE1, PHASE2, workspace, data).reached["intermediate_bytes"] == 4


def test_a_run_that_published_nothing(tmp_path: Path) -> None:
    found = observe(WATCH, Phase1Result(), Phase2Result((), 0, 0), Workspace(str(tmp_path)), tmp_path / "none")
    assert set(found.reached.values()) == {0}
    assert (found.begin, found.memory_begin, found.memory) == (100.0, 0.25, MEMORY)
    assert (found.spans, found.phases) == (SPANS, ["a phase"])
