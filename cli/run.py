"""``run``: the data path, with test data on the very first run, and its summary or JSON object."""

import gc
from dataclasses import asdict
from pathlib import Path

from cli.arguments import Arguments
from cli.console import LOG, Answer, printable, say
from cli.profile import print_profile
from cli.progress import ShownProgress, open_progress
from cli.summary import print_summary
from cli.truth import TruthCheck, check_truth
from config import Config
from data_generator.truth import TRUTH_FILE
from pipeline.errors import GateError
from pipeline.request import Request
from pipeline.results import RunResult
from pipeline.workers import Workers


def run_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Runs the pipeline and answers; returns the exit code. Raises LogmillError where the run cannot go on."""
    if arguments.dry_run:
        return show_plan(arguments, config, answer)
    with open_progress(arguments.quiet) as progress:
        if lacks_input(config):
            # Imported here so that a usage error or an interrupted first run need not wait for Polars.
            from pipeline.orchestrator import check_before_work

            check_before_work(config)
            make_first_input(config, progress)
        result = process(config, progress, arguments.request)
    return answer_result(arguments, config, answer, result)


def process(config: Config, progress: ShownProgress, request: Request) -> RunResult:
    """``orchestrator.run``, with workers that load their libraries while this process loads its own."""
    with Workers(config.PREPROCESSING_WORKERS) as workers:
        gc.disable()  # modules are no garbage, and many objects: a tenth of the time
        from pipeline.orchestrator import run

        gc.freeze()
        gc.enable()
        return run(config, progress, request, workers)


def show_plan(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answers with what a run would do with every file; changes nothing."""
    from cli.status import print_files
    from pipeline.orchestrator import plan_run

    files = plan_run(config, arguments.request)
    if answer.as_json:
        answer.give({"files": [asdict(file) for file in files]})
    elif not arguments.quiet:
        print_files(files, "no file is there, and none counts")
    return 0


def answer_result(arguments: Arguments, config: Config, answer: Answer, result: RunResult) -> int:
    """Gives the JSON object or the summary of a run; returns the exit code."""
    check = _check(config, result)
    if LOG.as_json:
        _log_end(result)
    answer.give(result.to_json())
    if not answer.as_json and not arguments.quiet:
        print_summary(result, check)
    else:
        _report_trouble(result, check)
    if arguments.profile:
        print_profile(result, stderr=answer.as_json)
    return exit_code(result)


def lacks_input(config: Config) -> bool:
    """Whether nobody named an input and the default folder is missing or empty (hidden files and old truths aside)."""
    folder = Path(config.INPUT_DIR)
    if config.INPUT_NAMED:
        return False
    if not folder.exists():
        return not folder.is_symlink()
    return folder.is_dir() and all(path.name.startswith(".") or path.name == TRUTH_FILE for path in folder.iterdir())


def make_first_input(config: Config, progress: ShownProgress) -> None:
    """Test data for someone who has just arrived."""
    progress.note(
        f"no input was named and {config.INPUT_DIR} is empty: making test data there (--input names your own)"
    )
    from cli.generate import make_test_data  # late, because the generator's tables take a tenth of a second

    make_test_data(config, Path(config.INPUT_DIR), progress)


def exit_code(result: RunResult) -> int:
    """0 for a complete run; 4 when a gate stopped it; 3 when files were refused; 1 for any other failure."""
    if result.stopped_by_gate:
        return GateError.exit_code
    if result.status == "ok":
        return 0
    return 3 if result.status == "partial" or result.refused_files else 1


def _check(config: Config, result: RunResult) -> TruthCheck | str | None:
    """The comparison with truth.json; its failure is worth a line, never the run."""
    try:
        return check_truth(config, result)
    except (OSError, ValueError) as error:
        return f"not checked against {TRUTH_FILE}: {error}"


def _log_end(result: RunResult) -> None:
    """The counts and times of the run; its files have events of their own."""
    level = {"ok": "info", "partial": "warning", "failed": "error"}[result.status]
    counts = {name: value for name, value in result.to_json().items() if name not in ("run_id", "refused_files")}
    LOG.write(level, "run_finished", **counts, refused=len(result.refused_files))


def _report_trouble(result: RunResult, check: TruthCheck | str | None) -> None:
    """What a person must hear even if the summary is not printed."""
    for refused in result.refused_files:
        if not LOG.as_json:  # which has its own event of it
            say(f"refused: {printable(refused.file)}: {printable(refused.reason)}")
    if result.error:
        say(printable(result.error), level="error", event="failed")
    for quality in result.quality:
        if quality.outcome == "warn":
            say(str(quality), level="warning", event="quality")
    if isinstance(check, TruthCheck) and not check.agrees:
        say(str(check), level="warning", event="truth_differs")
