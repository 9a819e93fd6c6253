"""The data path of one run, from the input folder to the published version."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from config import Config
from pipeline.aggregate.add_up import add_up, plan_phase2
from pipeline.aggregate.incremental.driver import previous_version
from pipeline.engines.choose import choose_engine
from pipeline.engines.workers import Workers
from pipeline.errors import WORKERS_DIED, WorkerDied
from pipeline.history.carry_over import carry_over
from pipeline.history.expanded_texts import recognize_texts
from pipeline.history.place import compare_with_history, open_place
from pipeline.machine import os_errors_explained
from pipeline.planning.early_jvm import NOTHING_EARLY, Early
from pipeline.planning.planner import check_disk, choose_sizes
from pipeline.planning.prediction import forecast_run
from pipeline.planning.run_engines import RunEngines
from pipeline.planning.run_options import NO_OPTIONS, RunOptions
from pipeline.planning.run_settings import read_settings
from pipeline.preprocess.driver import read_files
from pipeline.publish.commit import commit
from pipeline.publish.facts import RunFacts
from pipeline.publish.result import RunResult
from pipeline.publish.run_record import log_files
from pipeline.publish.verify import verify
from pipeline.publish.version import record_failure, record_stopped, write_version
from pipeline.reading.input_files import find_input
from pipeline.reading.open_inputs import open_inputs, share_texts
from pipeline.storage.urls import is_url
from pipeline.timing import Progress, Watch
from pipeline.versions.folders import new_run_id
from pipeline.versions.outputs import is_shown, open_output


def run(
    config: Config,
    progress: Progress,
    options: RunOptions = NO_OPTIONS,
    started: Workers | None = None,
    early: Early = NOTHING_EARLY,
) -> RunResult:
    """Process the input into a new published version, going on from what earlier runs have read.

    Returns a result with one of these states; only the first two publish:

    ===========  ============================================================
    ``ok``       every file counts
    ``partial``  some files were refused; the other ones count
    ``failed``   every file was refused, or a quality gate stopped the run
    ===========  ============================================================

    Raises LogmillError where the run cannot go on; it publishes nothing then. ``started``: worker processes that are
    running already, if there are any; ``early``: what else was done before.
    """
    with (
        Watch(new_run_id(), progress) as watch,
        # The outer one explains what closing raises; the inner one, while all is open, what the run does.
        _explained(config, watch.run_id),
        ExitStack() as resources,
        _explained(config, watch.run_id),
    ):
        settings = read_settings(config)
        watch.progress.event("run_started", run_id=watch.run_id)
        output = open_output(config.OUTPUT_DIR, delta=config.TABLE_FORMAT == "delta")
        output.check()
        found = early.found or find_input(
            config.INPUT_DIR,
            would_go=output.current() if options.prune_missing else None,
            rotated=config.ROTATED_NAMES,
        )
        choice = choose_engine(config, found.bytes)
        place = resources.enter_context(
            open_place(config, watch.run_id, replay=options.replay, full_refresh=options.full_refresh, add=options.add)
        )
        history, output = place.history, place.output
        # They open after the workspace, so that no worker still writes there when the workspace is closed.
        run_folder = Path(place.workspace.root)
        engines = RunEngines(config, choice, run_folder, resources, watch, started, early.jvm)
        with watch.preparing() as begin:
            geo, library = settings.load_geo(begin), settings.find_library(begin)
        begin_seconds = watch.seconds().work
        engines.join_cluster(geo, library, place.exchange)

        fingerprint = settings.fingerprint(geo)
        intake = compare_with_history(place, found.paths, fingerprint, prune_missing=options.prune_missing)
        to_read = intake.inventory.to_read
        logs = open_inputs(
            engines.pool, to_read, settings.headers, config.MAX_EXPANSION_RATIO, place.workspace, watch.progress
        )
        place.replays.refuse_faulty(logs.refused)
        intake, files = recognize_texts(intake, logs.files, fingerprint)
        logs = replace(logs, files=files)
        if place.exchange:
            logs = replace(logs, files=share_texts(logs.files, place.exchange))
        else:
            check_disk(config.INTERMEDIATE_DIR, logs.files)
        sizes = choose_sizes(
            config, logs.files, spark=choice.spark, least_buckets=intake.inventory.finest_buckets,
            capacity=engines.capacity(),
        )  # fmt: skip

        # Spark starts, and the forecast is made, while the workers read.
        engines.start_spark(sizes.workers)
        journal = resources.enter_context(history.open_journal(intake.inventory, fingerprint, config.MAX_RECORD_BYTES))
        forecasting = resources.enter_context(ThreadPoolExecutor(1)).submit(
            forecast_run, sizes, logs.files, intake.known_rows, geo, choice.adder(config),
            compiled=bool(library.path) and settings.compilable, formats=settings.formats,
        )  # fmt: skip
        watch.progress.phase("Phase 1: read, verify, enrich", sum(file.size for file in logs.files))
        read_context = settings.read_context(place.workspace, sizes, geo, library)
        phase1 = read_files(
            engines.reading, read_context, logs.files, sizes.split_bytes, watch.progress.advance, journal
        ).refusing({**logs.refused, **found.outside})
        forecast = forecasting.result()
        place.replays.refuse_faulty(phase1.refused)
        counted = carry_over(intake, phase1, journal.ids, fingerprint)
        history.note_names(intake.inventory)
        log_files(counted.phase1, watch.progress)
        watch.lap("phase1")
        replayed = set(place.replays.paths)
        if all(file.path in replayed for file in counted.phase1.files):
            # No file of the input counts: corrected records alone are no result.
            reasons = list(counted.phase1.refused.values())
            if reasons and all(reason.startswith(WORKERS_DIED) for reason in reasons):
                raise WorkerDied(reasons[0])  # the machine, not the files
            return record_failure(settings, choice, place, counted.phase1, watch)

        # Totals on a storage go with their run: the next one adds up anew.
        previous = (
            None
            if place.exchange
            else previous_version(history.totals_folder, history.counts, history.counted_splits(fingerprint))
        )
        plan = plan_phase2(
            settings.aggregate_context(place.workspace, sizes, geo, library), previous, counted.phase1,
            spark=choice.spark, spark_plan="kernel" if place.exchange else config.SPARK_PLAN, task_rows=sizes.task_rows,
        )  # fmt: skip
        engine = engines.adding_up()
        added_up = add_up(
            engine, plan, counted.phase1,
            workers=sizes.workers, shuffle_partitions=config.SPARK_SHUFFLE_PARTITIONS, progress=watch.progress,
        )  # fmt: skip
        verdict = verify(
            config.QUALITY_GATES, settings.rules, counted.phase1, added_up.result, geo.names,
            new=history.first_counted(counted.phase1.ledgers, intake.inventory), was_good=history.was_good,
            allow_empty=config.ALLOW_EMPTY_RESULT,
        )  # fmt: skip
        watch.lap("phase2")

        facts = RunFacts(
            settings, choice, sizes, geo, library, found, place, intake, counted, added_up, verdict, forecast,
            begin_seconds,
        )  # fmt: skip
        if verdict.stopped:
            return record_stopped(engine, facts, watch)
        folder = output.begin(watch.run_id)
        resources.callback(output.discard)  # finds nothing there once the version is published
        result = write_version(engine, folder, facts, watch)
        place.confirm_locks()
        return commit(folder, facts, journal, result, watch)


def _explained(config: Config, run_id: str) -> AbstractContextManager[None]:
    """Explain errors of the system in the block, and note on every exception whether the run had published."""
    folders = [folder for folder in (config.INTERMEDIATE_DIR, config.OUTPUT_DIR) if not is_url(folder)]
    return os_errors_explained(folders, lambda: is_shown(config.OUTPUT_DIR, run_id))
