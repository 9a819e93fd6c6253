"""The data path of one run, from the input folder to the published version."""

import errno
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

from config import Config
from pipeline import publication, quality, report
from pipeline.archives import Expanded, is_archive
from pipeline.cache import cache_folder
from pipeline.compiled import compile_kernel
from pipeline.containment import refuse_outside
from pipeline.engines import Engine
from pipeline.engines.choose import Choice, choose_engine, takes_sql
from pipeline.engines.local import LocalEngine
from pipeline.engines.spark import SparkEngine
from pipeline.errors import EnvironmentFault, InputError
from pipeline.expansion import expand_all
from pipeline.fingerprint import fingerprint
from pipeline.forecast import Forecast, forecast
from pipeline.geo import GeoTable, load_geo_table
from pipeline.header import without_fields
from pipeline.history import open_history
from pipeline.incremental import aggregate_from, compare
from pipeline.intermediate import Workspace, is_run_folder
from pipeline.job import Job
from pipeline.lock import Lock
from pipeline.masking import mask_addresses
from pipeline.outlook import FileState, Stock, take_stock
from pipeline.output import Output
from pipeline.pace import load_pace, save_pace
from pipeline.phase1 import Phase1, read_files
from pipeline.phase2 import Totals, fewest_buckets, largest_bucket
from pipeline.planner import Plan, plan
from pipeline.prediction import Prediction, Work, learn, predict
from pipeline.pseudonym_key import KeySource, find_key
from pipeline.record_rules import BoundRule, bind_rules, rule_columns
from pipeline.replays import Replays
from pipeline.request import NOTHING_SPECIAL, Request
from pipeline.results import PhaseSeconds, Progress, RefusedFile, RunResult
from pipeline.retention import remove_expired
from pipeline.sample import take_sample
from pipeline.splits import InputFile, display_name, file_size, find_inputs, open_inputs
from pipeline.takeover import finest_buckets, take_over
from pipeline.timeline import WatchedProgress
from utils.metrics import PeakMemory, usable_cores
from utils.units import format_size

INTERMEDIATE_SHARE = 0.6
"""Intermediate files and totals take about this share of the input."""


def run(config: Config, progress: Progress, request: Request = NOTHING_SPECIAL) -> RunResult:
    """Process the input into a new published version, going on from what earlier runs have read.

    Returns a result with status ``ok``, or ``partial`` where files were refused and the others published, or
    ``failed``, with nothing published, where every file was refused or a quality gate failed. Raises LogmillError where
    the run cannot go on; nothing is published then.
    """
    clock = _Clock()
    progress = watched = WatchedProgress(progress)
    run_id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    rules, pseudonyms = _bind_rules(config), _find_key(config)
    progress.event("run_started", run_id=run_id)
    output = Output(config.OUTPUT_DIR)
    output.check()
    choice = choose_engine(config)
    paths, skipped = find_inputs(config.INPUT_DIR)
    if not paths:
        others = f" (skipped: {', '.join(display_name(path) for path in skipped[:10])})" if skipped else ""
        raise InputError(
            f"nothing to process: no *.csv or *.tsv (or these with .gz or .zst) in "
            f"{display_name(config.INPUT_DIR)!r}{others}. Name the logs with --input."
        )
    with _environment(), PeakMemory() as memory, ExitStack() as held:
        held.enter_context(Lock(config.INTERMEDIATE_DIR, run_id))
        held.enter_context(Lock(output.versions, run_id))
        expired = remove_expired(output.versions, config.QUARANTINE_RETENTION_DAYS, time.time())
        replays = held.enter_context(Replays(output.versions, config.INPUT_DIR))
        history = held.enter_context(open_history(config.INTERMEDIATE_DIR, output, request.full_refresh))
        sources = history.check_source(config.INPUT_DIR, request.add)
        replays.add(request.replay)
        paths, outside = refuse_outside(config.INPUT_DIR, paths)
        sizes = plan(config, [], spark=choice.spark)  # the workers do not depend on the input
        workspace = held.enter_context(
            _workspace(config, run_id, history.base_folder)
        )  # before the pool, so that it outlives the workers
        pool = held.enter_context(LocalEngine(sizes.workers))
        geo = _load_geo(config)
        kernel, no_kernel = compile_kernel(cache_folder()) if config.COMPILED_PARSER else (None, "")
        pool.job = job = _make_job(config, workspace, sizes, geo, kernel, rules, pseudonyms)
        mark = fingerprint(job, _read_columns(config))
        inventory = history.take_inventory([*paths, *replays.paths], mark)
        departed = history.departed(inventory, mark, replays.folder, request.prune_missing)
        files, refused = _open_inputs(pool, config, rules, inventory.to_read, progress)
        replays.refuse_faulty(refused)
        _check_disk(config, files)
        sizes = plan(config, files, spark=choice.spark)
        sizes = replace(sizes, buckets=finest_buckets(inventory, sizes.buckets))
        pool.job = job = _make_job(config, workspace, sizes, geo, kernel, rules, pseudonyms)
        known = sum(file.handed_over for file in (*inventory.reused.values(), *departed))
        adder = choice.adder(config)
        work = Work(take_sample(files, geo), known, adder, bool(kernel) and _is_plain(config), usable_cores())
        pace = load_pace(cache_folder())
        prediction = predict(sizes, work, pace)
        spark = held.enter_context(SparkEngine(config, job, sizes.workers)) if choice.spark else None

        progress.phase("Phase 1: read, verify, enrich", sum(file.size for file in files))
        journal = history.open_journal(inventory, mark)
        outcome = read_files(pool, files, sizes.split_bytes, progress.advance, journal)
        outcome.refused |= refused | outside
        replays.refuse_faulty(outcome.refused)
        taken = take_over(history, outcome, inventory, departed, journal)
        base = None if choice.spark and config.SPARK_PLAN == "sql" else history.base(mark)
        change = compare(base, outcome.splits)
        buckets = base.buckets if base and change else fewest_buckets(outcome, job.buckets)
        by_sql = choice.spark and not change and takes_sql(config, largest_bucket(outcome, buckets), sizes.task_rows)
        pool.job = job = replace(job, buckets=buckets)
        if spark:
            spark.job = job
        publication.report_files(outcome, progress)
        clock.lap("phase1")
        if not {ledger.file.path for ledger in outcome.ledgers} - set(replays.paths):
            return _nothing_left(run_id, config, choice, job, outcome, clock)

        handed_over = sum(ledger.handed_over for ledger in outcome.ledgers)
        progress.phase("Phase 2: deduplicate, add up", change.rows if change else handed_over)
        engine: Engine = pool
        if spark:
            pool.close()  # its memory is Spark's now
            engine = spark
        if spark and by_sql:
            totals = spark.aggregate_by_sql(outcome.splits, progress.advance)
        else:
            totals = aggregate_from(engine, job, base, change, outcome.splits, sizes.workers, progress.advance)
        publication.check_balance(outcome, totals)
        checks = quality.check_quality(config.QUALITY_GATES, rules, outcome, totals, geo.names)
        stopped = quality.failure(checks)
        clock.lap("phase2")

        if stopped:  # what was found is left beside the intermediate files, until the next run
            folder, written = Path(job.workspace.root) / "stopped", publication.NOTHING_WRITTEN
        else:
            folder = output.begin(run_id)
            held.callback(output.discard)  # nothing is left there once it is published
            written = publication.write_output(engine, job, folder, totals, geo.names, lambda _: None)
        publication.write_quarantine(engine, job, folder, outcome, totals, history.quarantine)
        clock.lap("publish")
        memory.sample()
        why_sql = by_sql and config.SPARK_PLAN == "auto"
        notes = (*_notes(config, sizes, expired, no_kernel, why_sql), *replays.describe(), *taken.notes)
        result = _result(
            run_id,
            config,
            choice,
            outcome,
            totals,
            written,
            geo,
            sizes,
            prediction,
            skipped,
            notes,
            clock,
            memory.peak_bytes,
        )
        notes = (*result.notes, *quality.column_layouts(outcome), *quality.missing_columns(rules, outcome))
        result = taken.finish(replace(result, quality=checks, notes=notes))
        if stopped:
            place = display_name(str(folder / "quarantine")) if result.quarantine else None
            shown = display_name(str(folder / report.REPORT))
            result = replace(result, status="failed", error=stopped, quarantine=place, report=shown)
        record = publication.write_run_record(folder, result, outcome, _settings(config))
        spans = [*pool.spans, *(spark.spans if spark else [])]
        observed = report.observe(watched, spans, memory, outcome, totals, workspace, folder / "data")
        report.write_report(folder, record, observed, config.OUTPUT_DIR)
        if not stopped:
            history.publish(
                folder,
                run_id,
                sources,
                taken.ids,
                _counts(result, None if by_sql else job.buckets),
                config.KEEP_VERSIONS,
            )
            _remove_runs(config, Path(workspace.root))
            replays.keep()
            if not change and not outcome.resumed_splits:
                save_pace(learn(pace, sizes, work, result.seconds), cache_folder())
    return result


def _counts(result: RunResult, buckets: int | None) -> dict[str, int]:
    """What the next run needs of this one's; ``buckets`` of its totals, None where they are Spark's partitions."""
    counts = {"kept": result.kept, "duplicates": result.duplicates_phase2, "conflicts": result.conflicts}
    return counts | {"all_duplicates": result.duplicates} | ({"buckets": buckets} if buckets else {})


def check_before_work(config: Config) -> None:
    """Find early what would stop a run whatever its input: the output's place, Java, rules, the key, the geo table."""
    _bind_rules(config)
    _find_key(config)
    Output(config.OUTPUT_DIR).check()
    choose_engine(config)
    _load_geo(config)


def plan_run(config: Config, request: Request) -> list[FileState]:
    """What a run would do with every file. Changes nothing; raises as a run would where it could not begin."""
    return _take_stock(config, request, _load_geo(config)).states


def forecast_run(config: Config, request: Request) -> Forecast:
    """What a run would do and take. Changes nothing; raises as a run would where it could not begin."""
    engine = choose_engine(config).adder(config)
    geo, pace = _load_geo(config), load_pace(cache_folder())
    stock = _take_stock(config, request, geo)
    columns = rule_columns(_bind_rules(config), _read_columns(config))
    return forecast(config, stock, geo, columns, engine=engine, compiled=_is_plain(config), pace=pace)


def _take_stock(config: Config, request: Request, geo: GeoTable) -> Stock:
    sizes = plan(config, [], spark=False)
    place = Workspace(config.INTERMEDIATE_DIR)
    job = _make_job(config, place, sizes, geo, None, _bind_rules(config), _find_key(config))
    return take_stock(config, request, fingerprint(job, _read_columns(config)))


def _is_plain(config: Config) -> bool:
    """Whether the compiled parser may read: it judges no rules and makes no pseudonyms."""
    return config.COMPILED_PARSER and not config.RECORD_RULES and not config.PSEUDONYMIZE_USERS


class _Clock:
    """Wall-clock seconds since the run began, and of each phase."""

    def __init__(self) -> None:
        self._begin = self._lap = time.monotonic()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._laps[name] = now - self._lap
        self._lap = now

    def seconds(self) -> PhaseSeconds:
        return PhaseSeconds(total=time.monotonic() - self._begin, **self._laps)


@contextmanager
def _environment() -> Iterator[None]:
    """A full disk and the like is no fault of the program."""
    try:
        yield
    except OSError as fault:
        if fault.errno == errno.EMFILE:
            raise EnvironmentFault(
                "too many open files. Nothing was published. Allow more (ulimit -n 65536) and run again."
            ) from fault
        if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            where = f" ({fault.filename})" if fault.filename else ""
            raise EnvironmentFault(
                f"{fault.strerror}{where}. Nothing was published; the previous output still stands. Free some room or "
                "mend the permission, or choose other folders with --intermediate and --output, and run again."
            ) from fault
        raise


def _read_columns(config: Config) -> dict[str, tuple[str, ...]]:
    """Accepted header names by role; the timestamp is read only where it decides (or for a rule)."""
    return {
        role: names for role, names in config.columns.items() if role != "timestamp" or config.DEDUPE_KEEP != "longest"
    }


def _bind_rules(config: Config) -> tuple[BoundRule, ...]:
    return bind_rules(config.RECORD_RULES, config.columns, _read_columns(config))


def _find_key(config: Config) -> KeySource | None:
    return find_key(config.PSEUDONYM_KEY_FILE) if config.PSEUDONYMIZE_USERS else None


def _check_disk(config: Config, files: list[InputFile]) -> None:
    need = int(sum(file.size for file in files) * INTERMEDIATE_SHARE)
    free = shutil.disk_usage(config.INTERMEDIATE_DIR).free
    if free < need:
        raise EnvironmentFault(
            f"{config.INTERMEDIATE_DIR!r} has {format_size(free)} free; this input needs about {format_size(need)}. "
            "Free some room, or name a folder on another disk with --intermediate."
        )


def _load_geo(config: Config) -> GeoTable:
    database = Path(config.GEO_DATABASE) if config.GEO_DATABASE else None
    regions = Path(config.GEO_REGIONS) if config.GEO_REGIONS else None
    return load_geo_table(database, config.GEO_LEVEL, regions, cache_folder())


def _open_inputs(
    pool: LocalEngine, config: Config, rules: tuple[BoundRule, ...], paths: list[str], progress: Progress
) -> tuple[list[InputFile], dict[str, str]]:
    """Expand what is compressed and read every header: (files, reasons of the refused ones by path)."""
    archives = [path for path in paths if is_archive(path)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    if archives:
        progress.phase("Expand compressed files", sum(map(file_size, archives)))
        expanded, refused = expand_all(pool, archives, config.MAX_EXPANSION_RATIO, progress.advance)
    readable = [path for path in paths if path not in refused]
    required, optional = rule_columns(rules, _read_columns(config))
    files, headless = open_inputs(readable, required, config.MAX_RECORD_BYTES, optional, expanded)
    if config.PSEUDONYMIZE_USERS:  # where the header is missing, the line shown is a record with its user
        headless = {path: without_fields(reason) for path, reason in headless.items()}
    return files, refused | headless


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
        shutil.rmtree(workspace.path("spool", ""))


def _remove_runs(config: Config, but: Path) -> None:
    for path in Path(config.INTERMEDIATE_DIR).iterdir():
        if is_run_folder(path, "run-") and path.name != but.name:
            shutil.rmtree(path)


def _make_job(
    config: Config,
    workspace: Workspace,
    sizes: Plan,
    geo: GeoTable,
    kernel: Path | None,
    rules: tuple[BoundRule, ...],
    pseudonyms: KeySource | None,
) -> Job:
    """What the kernels need."""
    return Job(
        workspace=workspace,
        version=Path(workspace.root).name.removeprefix("run-"),
        chunk_bytes=config.CHUNK_BYTES,
        max_record=config.MAX_RECORD_BYTES,
        keep=config.DEDUPE_KEEP,
        buckets=sizes.buckets,
        bucket_rows=sizes.bucket_rows,
        file_rows=sizes.file_rows,
        held_bytes=sizes.held_bytes,
        compression=config.COMPRESSION,
        geo_source=geo.source,
        kernel=str(kernel) if kernel else None,
        rules=rules,
        pseudonyms=pseudonyms,
        keep_raw=config.QUARANTINE_RAW and not config.PSEUDONYMIZE_USERS,
    )


def _settings(config: Config) -> dict[str, object]:
    """Settings as text and numbers for the record; paths as they can be shown."""
    values = {f.name: getattr(config, f.name) for f in fields(config) if not f.name.startswith("GENERATOR_")}
    return {name: display_name(value) if isinstance(value, str) else value for name, value in values.items()}


def _refused_files(outcome: Phase1) -> tuple[RefusedFile, ...]:
    return tuple(
        RefusedFile(display_name(path), mask_addresses(reason)) for path, reason in sorted(outcome.refused.items())
    )


def _nothing_left(run_id: str, config: Config, choice: Choice, job: Job, outcome: Phase1, clock: _Clock) -> RunResult:
    """The result of a run without a file that counts; its record stays among the intermediate files until the next."""
    record = Path(job.workspace.root)
    result = RunResult(
        run_id=run_id,
        status="failed",
        engine=choice.name,
        output=config.OUTPUT_DIR,
        error="every input file was refused; nothing was published. Mend the files named above and run again. Until "
        f"then the record of this run is {display_name(str(record / 'run.json'))}.",
        refused_files=_refused_files(outcome),
        seconds=clock.seconds(),
    )
    publication.write_run_record(record, result, outcome, _settings(config))
    return result


def _notes(config: Config, sizes: Plan, expired: list[str], no_kernel: str, why_sql: bool) -> list[str]:
    """What was decided for the user, in lines."""
    notes = []
    if sizes.workers < config.PREPROCESSING_WORKERS:
        notes.append(f"{sizes.workers} of {config.PREPROCESSING_WORKERS} workers: the memory limit allows no more")
    if expired:
        notes.append(
            f"quarantines older than {config.QUARANTINE_RETENTION_DAYS} days were removed, of versions "
            f"{', '.join(expired)} (QUARANTINE_RETENTION_DAYS)"
        )
    if no_kernel:
        notes.append(f"reading took about twice as long as it could: no compiled parser, because {no_kernel}")
    if why_sql:
        notes.append("added up by Spark's own plan: a bucket's rows are more than fit a worker's memory (SPARK_PLAN)")
    return notes


def _result(
    run_id: str,
    config: Config,
    choice: Choice,
    outcome: Phase1,
    totals: Totals,
    written: publication.Written,
    geo: GeoTable,
    sizes: Plan,
    prediction: Prediction,
    skipped: list[str],
    notes: Sequence[str],
    clock: _Clock,
    peak_memory: int,
) -> RunResult:
    ledgers = outcome.ledgers
    rejected = sum((ledger.rejected_by_reason for ledger in ledgers), Counter[str]())
    bytes_read = sum(ledger.file.size for ledger in ledgers)
    seconds = clock.seconds()
    return RunResult(
        run_id=run_id,
        status="partial" if outcome.refused else "ok",
        engine=choice.name,
        output=config.OUTPUT_DIR,
        engine_note=choice.note,
        files=len(ledgers),
        refused_files=_refused_files(outcome),
        skipped_files=tuple(display_name(path) for path in skipped),
        bytes_read=bytes_read,
        records_read=sum(ledger.records for ledger in ledgers),
        handed_over=sum(ledger.handed_over for ledger in ledgers),
        kept=totals.kept,
        duplicates_phase1=sum(ledger.duplicates for ledger in ledgers),
        duplicates_phase2=totals.duplicates,
        conflicts=totals.conflicts,
        rejected=rejected.total(),
        rejected_by_reason=dict(rejected),
        blank_lines=sum(ledger.blank_lines for ledger in ledgers),
        preamble_lines=sum(ledger.preamble_lines for ledger in ledgers),
        output_rows=written.rows,
        users=totals.users,
        total_micro_minutes=written.micro_minutes,
        top_regions=written.regions,
        seconds=seconds,
        peak_memory_bytes=peak_memory,
        version=run_id,
        workers=sizes.workers,
        plan=asdict(sizes) | prediction.as_numbers(),
        report=f"{config.OUTPUT_DIR}.versions/{run_id}/{report.REPORT}",
        geo_build=geo.build,
        geo_attribution=geo.attribution,
        notes=tuple(notes),
        quarantine=f"{config.OUTPUT_DIR}.versions/{run_id}/quarantine"
        if rejected or totals.conflicts or outcome.refused
        else None,
    )
