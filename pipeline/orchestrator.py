"""The data path of one run, from the input folder to the published version."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from config import Config
from pipeline.aggregate.add_up import add_up, plan_phase2
from pipeline.aggregate.incremental.driver import previous_version
from pipeline.engines.choose import choose_engine
from pipeline.engines.local import LocalEngine
from pipeline.engines.spark import SparkEngine
from pipeline.engines.workers import KERNEL_MODULES, Workers
from pipeline.history.carry_over import carry_over
from pipeline.history.journal import Journal
from pipeline.history.place import compare_with_history, open_place
from pipeline.machine import cache_folder, os_errors_explained
from pipeline.planning.pace import save_pace
from pipeline.planning.planner import check_disk, choose_sizes
from pipeline.planning.prediction import forecast_run, learn
from pipeline.planning.run_options import NO_OPTIONS, RunOptions
from pipeline.planning.run_settings import read_settings
from pipeline.preprocess.driver import read_files
from pipeline.publish.result import RunFacts, RunResult, nothing_counts_result, unchanged_result
from pipeline.publish.run_record import counts_for_the_next, log_files
from pipeline.publish.verify import verify
from pipeline.publish.version import record_failure, record_stopped, write_version
from pipeline.reading.input_files import find_input
from pipeline.reading.open_inputs import open_inputs
from pipeline.timing import Progress, Watch, stage
from pipeline.versions.catalog import repeats
from pipeline.versions.folders import new_run_id
from pipeline.versions.output_link import Output


def run(
    config: Config, progress: Progress, options: RunOptions = NO_OPTIONS, started: Workers | None = None
) -> RunResult:
    """Process the input into a new published version, going on from what earlier runs have read.

    Returns a result with status ``ok``, or ``partial`` where files were refused and the others published, or
    ``failed``, with nothing published, where every file was refused or a quality gate failed. Raises LogmillError where
    the run cannot go on; nothing is published then. ``started``: worker processes, if there are any already.
    """
    run_id = new_run_id()
    with Watch(run_id, progress) as watch, os_errors_explained(), ExitStack() as held:
        settings = read_settings(config)
        watch.progress.event("run_started", run_id=run_id)
        output = Output(config.OUTPUT_DIR)
        output.check()
        choice = choose_engine(config)
        found = find_input(config.INPUT_DIR, would_go=output.current() if options.prune_missing else None)
        place = held.enter_context(
            open_place(config, run_id, replay=options.replay, full_refresh=options.full_refresh, add=options.add)
        )
        sizes = choose_sizes(config, (), spark=choice.spark)  # the number of workers does not depend on the input
        # After the workspace, which must outlive the workers that write to it.
        pool = held.enter_context(LocalEngine(sizes.workers, started))
        watch.follow(pool)
        geo, library = settings.load_geo(), settings.find_library()
        begin_seconds = watch.seconds().total

        fingerprint = settings.fingerprint(geo)
        intake = compare_with_history(place, found.paths, fingerprint, prune_missing=options.prune_missing)
        to_read = intake.inventory.to_read
        logs = open_inputs(pool, to_read, settings.headers, config.MAX_EXPANSION_RATIO, place.workspace, watch.progress)
        place.replays.refuse_faulty(logs.refused)
        check_disk(config.INTERMEDIATE_DIR, logs.files)
        sizes = choose_sizes(config, logs.files, spark=choice.spark, least_buckets=intake.inventory.finest_buckets)
        # Spark starts beside Phase 1.
        spark = (
            held.enter_context(SparkEngine(config, Path(place.workspace.root), sizes.workers, KERNEL_MODULES))
            if choice.spark
            else None
        )
        journal = held.enter_context(place.history.open_journal(intake.inventory, fingerprint))

        watch.progress.phase("Phase 1: read, verify, enrich", sum(file.size for file in logs.files))
        with ThreadPoolExecutor(1) as beside:  # the workers need not wait for a prediction
            forecasting = beside.submit(
                forecast_run, sizes, logs.files, intake.known_rows, geo, choice.adder(config),
                compiled=bool(library.path) and settings.compilable,
            )  # fmt: skip
            read_context = settings.read_context(place.workspace, sizes, geo, library)
            phase1 = read_files(
                pool, read_context, logs.files, sizes.split_bytes, watch.progress.advance, journal
            ).refusing({**logs.refused, **found.outside})
            forecast = forecasting.result()
        place.replays.refuse_faulty(phase1.refused)
        counted = carry_over(intake, phase1, journal.ids, fingerprint)
        place.history.note_names(intake.inventory)
        log_files(counted.phase1, watch.progress)
        watch.lap("phase1")
        if not {ledger.file.path for ledger in counted.phase1.ledgers} - set(place.replays.paths):
            result = nothing_counts_result(config, choice, counted.phase1, watch)
            return record_failure(Path(place.workspace.root), result, counted.phase1, settings)

        history = place.history
        previous = previous_version(history.totals_folder, history.counts, history.counted_splits(fingerprint))
        aggregate_context = settings.aggregate_context(place.workspace, sizes, geo, library)
        plan = plan_phase2(
            aggregate_context, previous, counted.phase1,
            spark=choice.spark, spark_plan=config.SPARK_PLAN, task_rows=sizes.task_rows,
        )  # fmt: skip
        if spark:
            pool.close()  # its memory is Spark's now
            watch.follow(spark)
        engine = spark or pool
        added_up = add_up(
            engine, plan, counted.phase1,
            workers=sizes.workers, shuffle_partitions=config.SPARK_SHUFFLE_PARTITIONS, progress=watch.progress,
        )  # fmt: skip
        verdict = verify(config.QUALITY_GATES, settings.rules, counted.phase1, added_up.result, geo.names)
        watch.lap("phase2")

        facts = RunFacts(
            settings, choice, sizes, geo, library, found, place, intake, counted, added_up, verdict, forecast
        )
        if verdict.stopped:
            return record_stopped(engine, facts, verdict.stopped, watch)
        folder = output.begin(run_id)
        held.callback(output.discard)  # nothing is left there once it is published
        result = write_version(engine, folder, facts, watch)
        if _changes_nothing(folder, facts):
            return _keep_current(facts, journal, result, watch)
        return _publish(folder, facts, journal, result, watch, begin_seconds)


def _changes_nothing(folder: Path, facts: RunFacts) -> bool:
    """Whether the version in ``folder`` would only push out one that differs; old quarantines go with a new one."""
    place, current = facts.place, facts.place.history.current
    if not current or place.expired or place.forgotten:
        return False
    if current.files != set(facts.counted.ids) or current.sources != place.sources:
        return False
    return repeats(folder, place.output.versions / current.name)


def _keep_current(facts: RunFacts, journal: Journal, result: RunResult, watch: Watch) -> RunResult:
    """The current version stays the result, which is that of this run, too."""
    place, current = facts.place, facts.place.history.current
    assert current, "there is one that is repeated"
    journal.wait()
    place.remove_runs(but=place.history.totals_folder)
    place.replays.keep()
    return unchanged_result(replace(result, profile=watch.profile()), current.name)


def _publish(
    folder: Path, facts: RunFacts, journal: Journal, result: RunResult, watch: Watch, begin_seconds: float
) -> RunResult:
    """Make the finished ``folder`` the current version; only then remove what earlier runs left, and keep what was
    replayed. ``begin_seconds``: what the run took before it looked at the input."""
    place, keep = facts.place, facts.settings.config.KEEP_VERSIONS
    counts = counts_for_the_next(result, facts.added_up.buckets)
    with stage("publish"):
        journal.wait()  # the manifest knows every file that counts before a version says so
        place.history.publish(folder, watch.run_id, place.sources, facts.counted.ids, counts, keep)
    place.remove_runs(but=Path(place.workspace.root))
    place.replays.keep()
    if facts.added_up.way != "changes" and not facts.counted.phase1.resumed_splits:
        # Without what a first run makes for all later ones.
        took = replace(result.seconds, phase1=result.seconds.phase1 - begin_seconds)
        save_pace(learn(facts.forecast.pace, facts.sizes, facts.forecast.work, took), cache_folder())
    return replace(result, profile=watch.profile())
