"""``python -m benchmarks.scale``: what a run over very many splits asks of its driver.

The driver's own code runs over made-up results, as executors would send them: planning, Phase 1 with its notes in the
manifest, Phase 2 and the plan of the output files. No record is read; what is measured is the driver: its memory, its
processor time, and the bytes of tasks that it sends. Each number of splits has a process of its own.

``--model`` measures nothing, and prints what is predicted of inputs up to a petabyte.
"""

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import Config
from pipeline.aggregate.add_up import plan_phase2
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.tasks import BucketResult
from pipeline.engines import Advance, Engine, no_advance
from pipeline.engines.capacity import Capacity
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoSource
from pipeline.history.inventory import Inventory
from pipeline.history.journal import Journal
from pipeline.history.known_files import Hint, Hints
from pipeline.history.manifest import Manifest
from pipeline.history.split_store import Store
from pipeline.planning.cluster_prediction import ClusterPrediction, as_if, predict_on_cluster
from pipeline.planning.pace import Pace
from pipeline.planning.planner import choose_sizes, fit_sizes
from pipeline.planning.prediction import Work
from pipeline.planning.sample import Sample
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.driver import read_files
from pipeline.preprocess.tasks import SplitResult
from pipeline.publish.region_files import group_files, list_region_files
from pipeline.reading.file_access import stamp
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from utils.units import format_seconds, format_size

SPLITS = (10_000, 100_000, 1_000_000)
FILE_BYTES, SPLIT_BYTES = 10 * 10**9, 96 * 2**20
ROW_BYTES = 100
REGIONS = 10
"""Of the results of a bucket."""
CORES, CORE_BYTES = 2_000, 10**9
"""Of the made-up cluster."""
SAMPLE = Sample(files=1, text_bytes=10**9, rows=8_618_000, user_bytes=13.0, packed_user_bytes=3.4, result_rows=59_000)
"""What a plan finds of ``logmill generate --files 1 --size 1GB --users 1000000``."""
_TERABYTE, _NODE_CORES = 10**12, 16
MODEL = ((1, 8), (1, 50), (10, 50), (100, 500), (1000, 500))
"""(Terabytes of such logs, machines of so many cores.)"""


@dataclass(frozen=True)
class Step:
    """What a step took: processor seconds, and the peak of the process's memory when it had ended."""

    name: str
    seconds: float
    peak_bytes: int


class MadeUpEngine:
    """Answers tasks as executors would, after the same way through pickle; ``sent``: bytes of tasks."""

    name = "spark"

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.sent = 0

    def map(self, kernel: Any, context: Any, tasks: Sequence[Any], advance: Advance) -> Iterator[tuple[Any, Any]]:
        """Yield an answer for each task."""
        answer = getattr(self, kernel.__name__)
        sizes: dict[int, int] = {}
        for number, task in enumerate(tasks):
            if number % max(1, len(tasks) // 100) == 0:  # tasks of one kind are alike
                sizes[number] = len(pickle.dumps(task))
            advance(getattr(task, "rows", 1))
            yield task, pickle.loads(pickle.dumps(answer(context, task)))
        self.sent += len(tasks) * sum(sizes.values()) // max(1, len(sizes))

    def read_parts(self, context: ReadContext, group: Any) -> list[tuple[SplitResult | None, str | None]]:
        found: list[tuple[SplitResult | None, str | None]] = []
        for task in group:
            result = None
            if task.split:
                start, stop = task.split.start, task.split.stop
                rows = (stop - start) // ROW_BYTES
                share, rest = divmod(rows, context.buckets)
                in_buckets = tuple(share + (bucket < rest) for bucket in range(context.buckets))
                result = SplitResult(task.split, start, stop, rows, 0, rows, 0, rows, in_buckets, text_bytes=10 * rows)
            found.append((result, "0" * 32 if task.hashed is not None else None))
        return found

    def join_indexes(self, *_: Any) -> None:
        """Nothing is written."""

    def find_repeated_ids(self, *_: Any) -> tuple[int, int]:
        return 1000, 1000

    def aggregate(self, _: AggregateContext, task: Any) -> BucketResult:
        regions = dict.fromkeys(range(REGIONS - 1), (task.rows // 100, task.rows // REGIONS, 10**9))
        rest = task.rows - (REGIONS - 1) * (task.rows // REGIONS)
        regions[REGIONS - 1] = (task.rows // 100, rest, 10**9)
        return BucketResult(task.bucket, task.rows, task.rows, 0, 0, 10, task.rows // 20, regions)

    def decide_cross_bucket(self, *_: Any) -> int:
        return 0


def simulate(splits: int, folder: Path) -> dict[str, Any]:
    """Run the driver over so many splits; ``folder``: of the manifest."""
    steps: list[Step] = []
    begun = time.process_time()

    def step(name: str) -> None:
        nonlocal begun
        now = time.process_time()
        steps.append(Step(name, now - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        begun = now

    step("begin")
    config = Config(SPARK_MASTER="yarn", SPARK_EXECUTOR_CORES=4)
    engine = MadeUpEngine()
    files = _make_files(splits, folder / "logs")
    sizes = choose_sizes(config, files, spark=True, capacity=Capacity(CORES, CORE_BYTES))
    step("plan")
    workspace = Workspace(str(folder / "run"), str(folder / "store"))
    context = ReadContext(workspace, 2**21, 2**20, "longest", sizes.buckets, GeoSource("", "region", (), False, ""))
    hints = Hints()
    for file in files:
        hints[file.path] = Hint(file.size, 1, 1, 1, True)
    inventory = Inventory(hints, fresh=tuple(file.path for file in files))
    with Manifest(folder) as manifest, Journal(manifest, _Synced(folder), inventory, "made up") as journal:
        phase1 = read_files(engine, context, files, sizes.split_bytes, no_advance, journal)
        step("Phase 1")
        journal.wait()
        step("notes")
    count = phase1.counts
    step("counts")
    adding = AggregateContext(
        workspace, "longest", sizes.buckets, sizes.bucket_rows, tuple(map(str, range(REGIONS))),
        bucket_bytes=sizes.bucket_bytes,
    )  # fmt: skip
    plan = plan_phase2(adding, None, phase1, spark=True, spark_plan="kernel", task_rows=sizes.task_rows)
    made_up: Engine = engine
    phase2 = aggregate_all(made_up, plan.context, phase1.splits, sizes.workers, no_advance)
    step("Phase 2")
    region_files = list_region_files(phase2, adding.region_names, sizes.file_rows)
    tasks = group_files("data", region_files, sizes.file_rows)
    step("publication")
    return {
        "splits": count.splits, "bytes": count.bytes, "rows": count.handed_over, "buckets": sizes.buckets,
        "split_bytes": sizes.split_bytes, "bucket_rows": sizes.bucket_rows, "write_tasks": len(tasks),
        "manifest_bytes": sum(path.stat().st_size for path in folder.glob("manifest.sqlite*")),
        "sent_bytes": engine.sent, "steps": [vars(step) for step in steps],
    }  # fmt: skip


class _Synced(Store):
    """Nothing lies there: splits are on a storage."""

    def sync(self, finished: Any) -> None:
        """Nothing to do."""


def _make_files(splits: int, folder: Path) -> list[InputFile]:
    """Files that are nothing but long, which would be cut into about so many splits of the usual largest size."""
    header = Header(",", ("log_id", "user_id", "ip_address", "watch_time(min)"), {"log_id": 0}, 80, 2, float(ROW_BYTES))
    folder.mkdir()
    files = []
    for number in range(-(-splits * SPLIT_BYTES // FILE_BYTES)):
        path = folder / f"{number:06d}.csv"
        with path.open("wb") as stream:
            stream.truncate(FILE_BYTES)
        files.append(InputFile(str(path), stamp(str(path)), header))
    return files


def table(found: Sequence[dict[str, Any]]) -> str:
    """What was measured, as Markdown."""
    names = [step["name"] for step in found[0]["steps"]]
    lines = ["| splits | input | buckets | rows | manifest | tasks sent |" + "".join(f" {name} |" for name in names)]
    lines.append("|" + "---:|" * (6 + len(names)))
    for one in found:
        sizes = [format_size(one[name]) for name in ("manifest_bytes", "sent_bytes")]
        cells = [f"{one['splits']:,}", format_size(one["bytes"]), f"{one['buckets']:,}", f"{one['rows']:,}", *sizes]
        cells += [f"{step['seconds']:.1f} s, {format_size(step['peak_bytes'])}" for step in one["steps"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def model_table() -> str:
    """What is predicted of a first run over ``MODEL`` on S3, as Markdown, by the pace and the settings as shipped."""
    lines = [
        "| input | cluster | splits | time | requests that read | that write | their price | memory of the driver |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for terabytes, nodes in MODEL:
        found = predict_terabytes(terabytes, nodes)
        cells = [
            f"{terabytes:,} TB", f"{nodes} × {_NODE_CORES} cores", f"{found.splits:,}", format_seconds(found.seconds),
            *(f"{count / 1e6:,.1f} million" for count in (found.reads, found.writes)),
            f"{found.request_dollars:,.0f} USD", format_size(found.driver_memory_bytes),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def predict_terabytes(terabytes: int, nodes: int) -> ClusterPrediction:
    """Predict a first run over so many of logs like ``SAMPLE`` on S3."""
    config = Config()
    work = as_if(Work(SAMPLE, 0, "spark", compiled=True, cores=0), terabytes * _TERABYTE)
    capacity = Capacity(nodes * _NODE_CORES, config.SPARK_PYTHON_MEMORY // config.SPARK_EXECUTOR_CORES)
    sizes = fit_sizes(config, work.sample.text_bytes, work.sample.rows, spark=True, capacity=capacity)
    return predict_on_cluster(sizes, work, Pace(), nodes, on_storage=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description="What a run over very many splits asks of its driver.")
    parser.add_argument("--splits", type=int, nargs="*", default=SPLITS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", action="store_true", help="print what is predicted, and measure nothing")
    given = parser.parse_args(arguments)
    if given.model:
        print(model_table())
        return 0
    if given.one:
        with tempfile.TemporaryDirectory(prefix="logmill-scale-") as folder:
            print(json.dumps(simulate(given.one, Path(folder))))
        return 0
    found = []
    for splits in given.splits:
        command = [sys.executable, "-m", "benchmarks.scale", "--one", str(splits)]
        found.append(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
