"""Compares a run's result with what the generator knows about its data."""

from dataclasses import dataclass
from pathlib import Path

from config import Config
from data_generator.truth import TRUTH_FILE, Truth, load_truth
from pipeline.publish.result import RunResult

INPUT_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class TruthCheck:
    """How many counts were compared, and a sentence for each that differs."""

    compared: int
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every count is right."""
        return not self.differences

    def __str__(self) -> str:
        if self.agrees:
            return f"checked against {TRUTH_FILE}: all {self.compared} counts agree"
        return f"DIFFERS from {TRUTH_FILE}: " + "; ".join(self.differences)


def check_truth(config: Config, result: RunResult) -> TruthCheck | None:
    """Compare a complete run over exactly the generated files with their truth.

    Returns None for any other input, for a run that is not complete, and where rules reject records.

    Raises:
        ValueError: the input's truth.json cannot be read.
        OSError: the input cannot be listed.
    """
    folder = Path(config.INPUT_DIR)
    rejects_more = any(rule.action == "reject" for rule in config.RECORD_RULES)
    if result.status != "ok" or rejects_more or not folder.is_dir():
        return None
    truth = load_truth(folder)
    if truth is None or not truth.describes(input_files(folder)) or result.files != truth.files:
        return None
    return compare_with_truth(truth, result, totals=config.DEDUPE_KEEP == "longest")


def input_files(folder: Path) -> list[Path]:
    """The logs in a folder, as a run sees them: not recursive, hidden files left out."""
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in INPUT_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def compare_with_truth(truth: Truth, result: RunResult, *, totals: bool) -> TruthCheck:
    """Compare the counts of a run with those of the truth.

    ``totals``: also compare the watch time, which the generator knows for ``DEDUPE_KEEP = "longest"`` only.
    """
    reasons = {reason: count for reason, count in result.rejected_by_reason.items() if count}
    pairs: list[tuple[str, object, object]] = [
        ("records", truth.records, result.records_read),
        ("kept", truth.distinct_ids, result.kept),
        ("duplicates", truth.duplicates, result.duplicates),
        ("conflicts", truth.conflicts, result.conflicts),
        ("rejected", truth.rejected, result.rejected),
        ("rejected by reason", truth.rejected_by_reason, reasons),
    ]
    if totals:
        pairs.append(("micro-minutes watched", truth.total_micro_minutes, result.total_micro_minutes))
    differences = tuple(f"{name}: expected {right}, found {found}" for name, right, found in pairs if right != found)
    return TruthCheck(len(pairs), differences)
