"""``run``: the data path, with test data on the very first run.

This module imports nothing heavy, so that the workers begin to load their libraries at once.
"""

import gc
from dataclasses import asdict
from pathlib import Path

from cli.arguments import Arguments
from cli.console import Answer
from config import Config
from data_generator.truth import TRUTH_FILE
from pipeline.engines.workers import Workers


def run_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Runs the pipeline and answers; returns the exit code. Raises LogmillError where the run cannot go on."""
    if arguments.dry_run:
        return show_plan(arguments, config, answer)
    if lacks_input(config):
        make_first_input(arguments, config)
    return process(arguments, config, answer)


def process(arguments: Arguments, config: Config, answer: Answer) -> int:
    """``orchestrator.run``, with workers that load their libraries while this process loads its own, and its answer."""
    with Workers(config.PREPROCESSING_WORKERS) as workers:
        gc.disable()  # modules are no garbage, and many objects: a tenth of the time
        from cli.outcome import answer_result
        from cli.progress import open_progress
        from pipeline.orchestrator import run

        gc.freeze()
        gc.enable()
        with open_progress(arguments.quiet) as progress:
            result = run(config, progress, arguments.options, workers)
    return answer_result(arguments, config, answer, result)


def show_plan(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answers with what a run would do with every file; changes nothing."""
    from cli.status import print_files
    from pipeline.inspection.plan import list_file_states

    files = list_file_states(config, arguments.options)
    if answer.as_json:
        answer.give({"files": [asdict(file) for file in files]})
    elif not arguments.quiet:
        print_files(files, "no file is there, and none counts")
    return 0


def lacks_input(config: Config) -> bool:
    """Whether nobody named an input and the default folder is missing or empty (hidden files and old truths aside)."""
    folder = Path(config.INPUT_DIR)
    if "INPUT_DIR" in config.origins:
        return False
    if not folder.exists():
        return not folder.is_symlink()
    return folder.is_dir() and all(path.name.startswith(".") or path.name == TRUTH_FILE for path in folder.iterdir())


def make_first_input(arguments: Arguments, config: Config) -> None:
    """Test data for someone who has just arrived."""
    from cli.generate import make_test_data
    from cli.progress import open_progress
    from pipeline.inspection.plan import check_before_work

    with open_progress(arguments.quiet) as progress:
        check_before_work(config)
        progress.note(
            f"no input was named and {config.INPUT_DIR} is empty: making test data there (--input names your own)"
        )
        make_test_data(config, Path(config.INPUT_DIR), progress)
