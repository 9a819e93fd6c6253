"""``run``: runs the pipeline; the very first run makes test data for itself.

This module imports nothing heavy, so that the workers begin to load their libraries at once.
"""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cli.arguments import Arguments
from cli.console import Answer, printable, say
from cli.progress import open_progress
from cli.result import answer_result
from config import Config
from data_generator.truth import TRUTH_FILE
from pipeline import KERNEL_MODULES
from pipeline.engines.workers import Workers
from pipeline.errors import InputError, note_publication
from pipeline.machine import os_errors_explained
from pipeline.planning.run_options import RunOptions
from pipeline.storage.urls import is_url
from pipeline.versions.container import volume_note

if TYPE_CHECKING:
    from pipeline.planning.early_jvm import Early
    from pipeline.publish.nothing_new import NothingNew
    from pipeline.publish.result import RunResult


def run_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Run the pipeline and answer; returns the exit code. Raises LogmillError where the run cannot go on."""
    if arguments.dry_run:
        return show_plan(arguments, config, answer)
    warn_of_lost_folders(arguments, config)
    begin = time.monotonic()
    if lacks_input(config):
        from pipeline.planning.early_jvm import launched_early

        refuse_to_add_test_data(config)
        with launched_early(config, config.GENERATOR_SIZE) as early:
            make_first_input(arguments, config)
            return process(arguments, config, answer, early, made_seconds=time.monotonic() - begin)
    return process(arguments, config, answer)


def warn_of_lost_folders(arguments: Arguments, config: Config) -> None:
    """Say at once, before hours of work, where no volume keeps what a run in this container writes."""
    lost = volume_note([config.INTERMEDIATE_DIR, config.OUTPUT_DIR])
    if lost and not arguments.quiet:
        say(f"note: {lost}", event="note")


def process(
    arguments: Arguments, config: Config, answer: Answer, early: "Early | None" = None, *, made_seconds: float = 0.0
) -> int:
    """Run the pipeline and answer; returns the exit code. ``made_seconds``: what test data took before."""
    result = run_pipeline(config, arguments.options, quiet=arguments.quiet, early=early)
    try:
        return answer_result(arguments, config, answer, result, made_seconds=made_seconds)
    except BaseException as fault:
        note_publication(fault, result.published)
        raise


def run_pipeline(config: Config, options: RunOptions, *, quiet: bool, early: "Early | None" = None) -> "RunResult":
    """Run the pipeline, also for Python programs; ``quiet``: without progress on stderr.

    Workers and JVM start while this process loads its libraries; a run that finds nothing new needs neither.
    ``early``: what was done before. Raises LogmillError where the run cannot go on.
    """
    if found := find_nothing_new(config, options):
        with open_progress(quiet) as progress:
            found.log(progress)
        return found.result
    with os_errors_explained(), Workers(config.PREPROCESSING_WORKERS, KERNEL_MODULES) as workers, ExitStack() as stack:
        with _without_garbage():
            from pipeline.planning.early_jvm import launched_early

            early = early or stack.enter_context(launched_early(config))
            from pipeline.orchestrator import run
        with open_progress(quiet) as progress:
            return run(config, progress, options, workers, early)


@contextmanager
def _without_garbage() -> Iterator[None]:
    """Load modules without a look for garbage among their many objects, which takes a tenth of the start-up."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def find_nothing_new(config: Config, options: RunOptions) -> "NothingNew | None":
    """What to answer where a version is there already and there is nothing to add to it."""
    if not is_url(config.OUTPUT_DIR) and not os.path.islink(config.OUTPUT_DIR):
        return None  # nothing was published yet, and a first run need not wait until the modules of history are loaded
    from pipeline.publish import nothing_new

    return nothing_new.find_nothing_new(config, options)


def show_plan(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with what a run would do with every file; nothing is changed."""
    from cli.status import print_files
    from cli.terminal import PipeConsole
    from pipeline.inspection.plan import choose_for_input, list_file_states

    files, choice = list_file_states(config, arguments.options), choose_for_input(config)
    if answer.as_json:
        answer.give({"files": map(asdict, files), "engine": choice.name, "engine_note": choice.note})
    elif not arguments.quiet:
        console = PipeConsole()
        print_files(files, "no file is there, and none counts", console)
        console.print(f"engine: {choice.name}{f' ({choice.note})' if choice.note else ''}")
    return 0


def lacks_input(config: Config) -> bool:
    """Whether nobody named an input and the default folder is missing, or has only hidden files and truth.json."""
    folder = Path(config.INPUT_DIR)
    if "INPUT_DIR" in config.origins or is_url(config.INPUT_DIR):
        return False
    if not folder.exists():
        return not folder.is_symlink()
    return folder.is_dir() and all(path.name.startswith(".") or path.name == TRUTH_FILE for path in folder.iterdir())


def refuse_to_add_test_data(config: Config) -> None:
    """Raise InputError where a result is there: test data belong to the very first run, not into somebody's result."""
    from pipeline.versions.catalog import current_version
    from pipeline.versions.folders import check_on_storage

    check_on_storage("INPUT_DIR", config.INPUT_DIR, config.INTERMEDIATE_DIR)
    if is_url(config.OUTPUT_DIR) or not os.path.islink(config.OUTPUT_DIR):
        return
    settings = current_version(config.OUTPUT_DIR).record.get("settings", {})
    source = printable(str(settings.get("INPUT_DIR", "")))
    found = f"no input was named, and {config.INPUT_DIR} has no logs"
    if settings.get("INPUT_NAMED") and source:
        raise InputError(f"{found}. The result at {config.OUTPUT_DIR} was made from {source}: name that with --input.")
    raise InputError(f"{found}. The result at {config.OUTPUT_DIR} stays as it is. Name logs with --input.")


def make_first_input(arguments: Arguments, config: Config) -> None:
    """Make test data in the default input folder, after the checks that any run must pass."""
    from cli.generate import make_test_data
    from pipeline.inspection.plan import check_before_work

    with open_progress(arguments.quiet) as progress:
        check_before_work(config)
        progress.note(
            f"no input was named and {config.INPUT_DIR} is empty: making test data there (--input names your own)"
        )
        make_test_data(config, Path(config.INPUT_DIR), progress)
