"""The data path of one run, from the input folder to the published version."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from config import Config
from pipeline.aggregate.driver import fewest_buckets, largest_bucket
from pipeline.aggregate.incremental.driver import aggregate_from, compare
from pipeline.engines import Engine
from pipeline.engines.choose import choose_engine, takes_sql
from pipeline.engines.local import LocalEngine
from pipeline.engines.spark import SparkEngine
from pipeline.engines.workers import Workers
from pipeline.exchange.workspace import Workspace
from pipeline.history.carry_over import finest_buckets, take_over
from pipeline.history.replays import Replays
from pipeline.history.state import open_history
from pipeline.machine import cache_folder, display_name, told_plainly
from pipeline.native.build import compile_kernel
from pipeline.planning.disk import check_disk
from pipeline.planning.pace import load_pace, save_pace
from pipeline.planning.planner import plan
from pipeline.planning.prediction import Work, learn, predict
from pipeline.planning.run_settings import NOTHING_SPECIAL, Request, Setup
from pipeline.planning.sample import take_sample
from pipeline.preprocess.context import fingerprint
from pipeline.preprocess.driver import read_files
from pipeline.publish import report
from pipeline.publish.notes import BY_SQL, column_layouts, decisions, missing_columns, why_anew
from pipeline.publish.quarantine import Earlier, write_quarantine
from pipeline.publish.region_files import NOTHING_WRITTEN, Written, write_output
from pipeline.publish.result import RunResult, make_result, nothing_left, stays
from pipeline.publish.run_record import counts_for_the_next, report_files, write_geo, write_run_record
from pipeline.publish.verify import check_balance, check_quality
from pipeline.quality import failure
from pipeline.reading.input_files import list_inputs, refuse_outside
from pipeline.reading.open_inputs import open_files
from pipeline.timing import Progress, Span, Spent, WatchedProgress, _Clock, stage, sum_up, take
from pipeline.versions.catalog import repeats
from pipeline.versions.folders import is_run_folder, new_run_id
from pipeline.versions.lock import Lock
from pipeline.versions.output_link import Output
from pipeline.versions.retention import oldest_kept, remove_expired
from utils.metrics import PeakMemory, usable_cores


def run(
    config: Config, progress: Progress, request: Request = NOTHING_SPECIAL, started: Workers | None = None
) -> RunResult:
    """Process the input into a new published version, going on from what earlier runs have read.

    Returns a result with status ``ok``, or ``partial`` where files were refused and the others published, or
    ``failed``, with nothing published, where every file was refused or a quality gate failed. Raises LogmillError where
    the run cannot go on; nothing is published then. ``started``: worker processes, if there are any already.
    """
    this = _Run(config, progress)
    this.find_inputs(request)
    with told_plainly(), ExitStack() as held:
        this.begin(held, request, started)
        this.take_inventory(request)
        this.start_spark(held)
        this.read(held)
        if not this.anything_counts():
            return this.fail()
        this.aggregate()
        this.check()
        return this.stop() if this.stopped else this.publish(held)


class _Run:
    """The steps of one run, in the order of ``run``, and what they hand on."""

    def __init__(self, config: Config, progress: Progress) -> None:
        """Check what needs no input. Raises ConfigError or EnvironmentFault."""
        self.config = config
        self.clock = _Clock()
        take()  # of a run before, in this process
        self.spent: list[dict[str, Spent]] = []
        self.progress = WatchedProgress(progress)
        self.run_id = new_run_id()
        self.setup = Setup.of(config)
        self.progress.event("run_started", run_id=self.run_id)
        self.output = Output(config.OUTPUT_DIR)
        self.output.check()
        self.choice = choose_engine(config)
        self.spark: SparkEngine | None = None

    def find_inputs(self, request: Request) -> None:
        """List the files of the input. Raises InputError where there are none."""
        source, current = self.config.INPUT_DIR, self.output.current()
        paths, self.skipped = list_inputs(source, would_go=current if request.prune_missing else None)
        self.paths, self.outside = refuse_outside(source, paths)

    def begin(self, held: ExitStack, request: Request, started: Workers | None) -> None:
        """Lock both folders, recover what earlier runs left, start the workers."""
        config, output = self.config, self.output
        self.memory = held.enter_context(PeakMemory())
        held.enter_context(Lock(config.INTERMEDIATE_DIR, self.run_id))
        held.enter_context(Lock(output.versions, self.run_id))
        output.discard()
        now = time.time()
        self.oldest_kept = oldest_kept(config.QUARANTINE_RETENTION_DAYS, now)
        self.expired = remove_expired(output.versions, config.QUARANTINE_RETENTION_DAYS, now)
        self.replays = held.enter_context(Replays(output.versions, config.INPUT_DIR))
        self.history = held.enter_context(open_history(config.INTERMEDIATE_DIR, output, request.full_refresh))
        self.forgotten = self.history.forget_texts(self.oldest_kept)
        self.sources = self.history.check_source(config.INPUT_DIR, request.add)
        self.replays.add(request.replay)
        self.sizes = plan(config, [], spark=self.choice.spark)  # the workers do not depend on the input
        # Before the pool, so that it outlives the workers.
        self.workspace = held.enter_context(_workspace(config, self.run_id, self.history.base_folder))
        self.pool = held.enter_context(LocalEngine(self.sizes.workers, started=started))
        self.engine: Engine = self.pool
        self.geo = self.setup.load_geo()
        self.kernel, self.no_kernel = compile_kernel(cache_folder()) if config.COMPILED_PARSER else (None, "")
        self.job = self.setup.make_job(self.workspace, self.sizes, self.geo, self.kernel)
        self._hand_out_job()
        self.begun = self.clock.seconds().total

    def take_inventory(self, request: Request) -> None:
        """Find what is new, and how large its pieces shall be."""
        self.mark = fingerprint(self.job, self.setup.columns)
        inventory = self.history.take_inventory([*self.paths, *self.replays.paths], self.mark)
        self.inventory = inventory
        self.departed = self.history.departed(inventory, self.mark, self.replays.folder, request.prune_missing)
        self.files, self.refused = open_files(self.pool, self.setup, inventory.to_read, self.progress)
        self.replays.refuse_faulty(self.refused)
        check_disk(self.config.INTERMEDIATE_DIR, self.files)
        finest = finest_buckets(inventory)
        self.sizes = plan(self.config, self.files, spark=self.choice.spark, least_buckets=finest)
        self.job = self.setup.make_job(self.workspace, self.sizes, self.geo, self.kernel)
        self._hand_out_job()

    def start_spark(self, held: ExitStack) -> None:
        """Start Spark in the background, where it is the engine."""
        if self.choice.spark:
            self.spark = held.enter_context(SparkEngine(self.config, self.job, self.sizes.workers))

    def read(self, held: ExitStack) -> None:
        """Phase 1, and what is taken over from earlier runs."""
        self.progress.phase("Phase 1: read, verify, enrich", sum(file.size for file in self.files))
        journal = self.journal = held.enter_context(self.history.open_journal(self.inventory, self.mark))
        with ThreadPoolExecutor(1) as beside:  # the workers need not wait for a prediction
            predicted = beside.submit(self._predict)
            self.outcome = read_files(self.pool, self.files, self.sizes.split_bytes, self.progress.advance, journal)
            predicted.result()
        self.outcome.refused |= self.refused | self.outside
        self.replays.refuse_faulty(self.outcome.refused)
        self.taken = take_over(self.history, self.outcome, self.inventory, self.departed, journal)
        report_files(self.outcome, self.progress)
        self.clock.lap("phase1")

    def anything_counts(self) -> bool:
        """Whether a file of the input is left; replayed ones alone make no version."""
        return bool({ledger.file.path for ledger in self.outcome.ledgers} - set(self.replays.paths))

    def fail(self) -> RunResult:
        """Every file was refused: the record stays among the intermediate files until the next run."""
        result = nothing_left(self.run_id, self.config, self.choice, self.outcome, self.clock.seconds())
        write_run_record(Path(self.workspace.root), result, self.outcome, self.setup.shown())
        return result

    def aggregate(self) -> None:
        """Phase 2: over all rows, or over what changed since the version before."""
        outcome = self.outcome
        base = None if self.choice.adder(self.config) == "sql" else self.history.base(self.mark)
        change = compare(base, outcome.splits)
        buckets = base.buckets if base and change else fewest_buckets(outcome, self.job.buckets)
        rows = largest_bucket(outcome, buckets)
        by_sql = self.choice.spark and not change and takes_sql(self.config, rows, self.sizes.task_rows)
        self.job = replace(self.job, buckets=buckets)
        self._hand_out_job()
        self.progress.phase("Phase 2: deduplicate, add up", change.rows if change else outcome.handed_over, "rows")
        if self.spark:
            self.pool.close()  # its memory is Spark's now
            self.engine = self.spark
        advance = self.progress.advance
        if self.spark and by_sql:
            self.totals, self.incremental = self.spark.aggregate_by_sql(outcome.splits, advance), False
        else:
            self.totals, self.incremental = aggregate_from(
                self.engine, self.job, base, change, outcome.splits, self.sizes.workers, advance
            )
        self.anew = [] if self.incremental else why_anew(base, change)
        self.buckets = None if by_sql else buckets

    def check(self) -> None:
        """The law of conservation, which raises BalanceError, and the quality gates."""
        check_balance(self.outcome, self.totals)
        config, rules = self.config, self.setup.rules
        self.checks = check_quality(config.QUALITY_GATES, rules, self.outcome, self.totals, self.geo.names)
        self.stopped = failure(self.checks)
        self.clock.lap("phase2")

    def stop(self) -> RunResult:
        """A quality gate failed: what was found is left beside the intermediate files, until the next run."""
        folder = Path(self.workspace.root) / "stopped"
        self._write_quarantine(folder)
        result = self._result(NOTHING_WRITTEN)
        place = display_name(str(folder / "quarantine")) if result.quarantine else None
        shown = display_name(str(folder / report.REPORT))
        result = replace(result, status="failed", error=self.stopped, quarantine=place, report=shown)
        return self._write_record(folder, result)

    def publish(self, held: ExitStack) -> RunResult:
        """Write the new version whole, then make it the current one, unless it says what that one says."""
        folder = self.output.begin(self.run_id)
        held.callback(self.output.discard)  # nothing is left there once it is published
        written = write_output(self.engine, self.job, folder, self.totals, self.geo.names, lambda _: None)
        self._write_quarantine(folder)
        write_geo(folder, self.geo)
        result = self._write_record(folder, self._result(written))
        if self._changes_nothing(folder):
            return self._leave(result)
        counts = counts_for_the_next(result, self.buckets)
        with stage("publish"):
            self.journal.wait()
            self.history.publish(folder, self.run_id, self.sources, self.taken.ids, counts, self.config.KEEP_VERSIONS)
        _remove_runs(self.config, Path(self.workspace.root))
        self.replays.keep()
        if not self.incremental and not self.outcome.resumed_splits:
            # Without what a first run makes for all later ones.
            took = replace(result.seconds, phase1=result.seconds.phase1 - self.begun)
            save_pace(learn(self.pace, self.sizes, self.work, took), cache_folder())
        return self._profiled(result)

    def _changes_nothing(self, folder: Path) -> bool:
        """Whether the version in ``folder`` would only push out one that differs; old quarantines go with a new one."""
        current = self.history.current
        if not current or self.expired or self.forgotten:
            return False
        if current.files != set(self.taken.ids) or current.sources != self.sources:
            return False
        return repeats(folder, self.output.versions / current.name)

    def _leave(self, result: RunResult) -> RunResult:
        """The current version stays the result, which is that of this run, too."""
        assert self.history.current, "there is one that is repeated"
        self.journal.wait()
        _remove_runs(self.config, self.history.base_folder)
        self.replays.keep()
        return stays(self._profiled(result), self.history.current.name)

    def _write_quarantine(self, folder: Path) -> None:
        earlier = Earlier(self.history.quarantine, self.oldest_kept)
        write_quarantine(self.engine, self.job, folder, self.outcome, self.totals, earlier)

    def _predict(self) -> None:
        known = sum(file.handed_over for file in (*self.inventory.reused.values(), *self.departed))
        compiled = bool(self.kernel) and self.setup.plain
        sample = take_sample(self.files, self.geo)
        self.work = Work(sample, known, self.choice.adder(self.config), compiled, usable_cores())
        self.pace = load_pace(cache_folder())
        self.prediction = predict(self.sizes, self.work, self.pace)

    def _hand_out_job(self) -> None:
        self.pool.job = self.job
        if self.spark:
            self.spark.job = self.job

    def _result(self, written: Written) -> RunResult:
        self.clock.lap("publish")
        self.memory.sample()
        seconds, peak = self.clock.seconds(), self.memory.peak_bytes
        outcome, rules = self.outcome, self.setup.rules
        result = make_result(
            self.run_id, self.config, self.choice, outcome, self.totals, written, self.geo, self.sizes, seconds, peak
        )
        notes = (
            *decisions(self.config, self.sizes, self.expired, self.forgotten, self.no_kernel),
            *([BY_SQL] if self.buckets is None and self.config.SPARK_PLAN == "auto" else []),
            *self.replays.describe({display_name(ledger.file.path) for ledger in outcome.ledgers}),
            *self.taken.notes,
            *self.anew,
            *column_layouts(outcome),
            *missing_columns(rules, outcome),
        )
        skipped = tuple(display_name(path) for path in self.skipped)
        foreseen = result.plan | self.prediction.as_numbers()
        result = replace(result, quality=self.checks, notes=notes, skipped_files=skipped, plan=foreseen)
        return self.taken.finish(result)

    def _write_record(self, folder: Path, result: RunResult) -> RunResult:
        """``run.json``, with the profile so far, and the report; returns what the record holds."""
        result = self._profiled(result)
        record = write_run_record(folder, result, self.outcome, self.setup.shown())
        with stage("report"):
            observed = report.observe(
                self.progress, self._spans(), self.memory, self.outcome, self.totals, self.workspace, folder / "data"
            )
            report.write_report(folder, record, observed, self.config.OUTPUT_DIR)
        return result

    def _profiled(self, result: RunResult) -> RunResult:
        """With the time of every stage so far, of all tasks and of this process."""
        self.spent.append(take())
        return replace(result, profile=sum_up([*(span.spent for span in self._spans()), *self.spent]))

    def _spans(self) -> list[Span]:
        return [*self.pool.spans, *(self.spark.spans if self.spark else [])]


@contextmanager
def _workspace(config: Config, run_id: str, base: Path) -> Iterator[Workspace]:
    """The run's workspace, after those of earlier runs but ``base`` are removed; expanded inputs go when it ends."""
    place = Path(config.INTERMEDIATE_DIR)
    workspace = Workspace(str((place / f"run-{run_id}").absolute()), str((place / "store").absolute()))
    _remove_runs(config, base)
    workspace.create()
    try:
        yield workspace
    finally:
        if (spool := workspace.path("spool", "")).exists():  # with the rest of what a run need not leave
            shutil.rmtree(spool)


def _remove_runs(config: Config, but: Path) -> None:
    for path in Path(config.INTERMEDIATE_DIR).iterdir():
        if is_run_folder(path, "run-") and path.name != but.name:
            shutil.rmtree(path)
