"""Answers with the result of a run: its summary or JSON object, and its exit code."""

from cli.arguments import Arguments
from cli.console import LOG, Answer, printable, say
from cli.truth import TruthCheck, check_truth
from config import Config
from data_generator.truth import TRUTH_FILE
from pipeline.errors import GATE_EXIT_CODE, PARTIAL_EXIT_CODE, InputError, LogmillError
from pipeline.publish.result import RunResult
from utils.metrics import usable_cores


def answer_result(
    arguments: Arguments, config: Config, answer: Answer, result: RunResult, *, made_seconds: float = 0.0
) -> int:
    """Print the summary or give the JSON object of a run; returns the exit code.

    ``made_seconds``: what the generation of test data took before the run.
    """
    check = _check(config, result)
    with_summary = not answer.as_json and not arguments.quiet
    if not with_summary:
        _report_trouble(result, check)
    if LOG.as_json:
        _log_end(result)
    answer.give(result.to_json())
    if with_summary:
        from cli.summary import Limits, print_summary  # with Rich

        limits = Limits(usable_cores(), config.MEMORY_LIMIT)
        print_summary(result, check, made_seconds=made_seconds, limits=limits)
    if arguments.profile:
        from cli.profile import print_profile

        print_profile(result, stderr=answer.as_json)
    return exit_code(result)


def exit_code(result: RunResult) -> int:
    """0 for a complete run; 6 when files were refused and the others count; 4 when a gate stopped it; 3 when all files
    were refused; 1 for any other failure."""
    if result.stopped_by_gate:
        return GATE_EXIT_CODE
    if result.status != "failed":
        return PARTIAL_EXIT_CODE if result.status == "partial" else 0
    return InputError.exit_code if result.refused_files else LogmillError.exit_code


def _check(config: Config, result: RunResult) -> TruthCheck | str | None:
    """Compare with truth.json. A truth that cannot be read becomes a line of the summary and never fails the run."""
    try:
        return check_truth(config, result)
    except (OSError, ValueError) as error:
        return f"not checked against {TRUTH_FILE}: {error}"


def _log_end(result: RunResult) -> None:
    """Log the counts and times of the run; refused files have events of their own."""
    level = {"ok": "info", "partial": "warning", "failed": "error"}[result.status]
    counts = {name: value for name, value in result.to_json().items() if name not in ("run_id", "refused_files")}
    LOG.write(level, "run_finished", **counts, refused=len(result.refused_files))


def _report_trouble(result: RunResult, check: TruthCheck | str | None) -> None:
    """Say what went wrong, for a person who gets no summary."""
    for refused in result.refused_files:
        if not LOG.as_json:  # the log has an event for it already
            say(f"refused: {printable(refused.file)}: {printable(refused.reason)}")
    if result.error:
        say(printable(result.error), level="error", event="failed")
    for quality in result.quality:
        if quality.outcome == "warn":
            say(str(quality), level="warning", event="quality")
    if isinstance(check, TruthCheck) and not check.agrees:
        say(str(check), level="warning", event="truth_differs")
