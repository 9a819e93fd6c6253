"""Judges what was rejected of the sources: by the share of each, by whole files, and where nothing is left at all."""

from collections import Counter
from collections.abc import Sequence

from pipeline.datasets.alerts import REJECTED_SHARE
from pipeline.datasets.result import CheckResult
from pipeline.datasets.run import Run
from pipeline.datasets.state import FileState, SourceState
from pipeline.datasets.units import scan_file
from pipeline.sources.source import Source
from utils.units import format_list

REJECTED = "rejected"
"""The name of the check."""
_NAMES = 10


def judge_sources(run: Run) -> list[CheckResult]:
    """How many rows of each source were rejected. A source warns where these are a larger share than the setting
    ``max_rejected_share``, or all rows of a file. Where no source has a row left, the run stops, unless the setting is
    1, so that all may be rejected.
    """
    found = {
        name: _files_now(source, run.sources[name]) for name, source in run.job.sources.items() if name in run.sources
    }
    kept = any(run.sources[name].rows for name in found)
    return [_judge(run, name, files, kept) for name, files in found.items() if files]


def _files_now(source: Source, state: SourceState) -> Sequence[FileState]:
    """Of files with snapshots only the last extract of each: one that was corrected is wrong no longer."""
    is_table = bool(state.position)
    return (
        list({file.name: file for file in state.files}.values()) if source.snapshots and not is_table else state.files
    )


def _judge(run: Run, name: str, files: Sequence[FileState], kept: bool) -> CheckResult:
    rejected, rows = Counter[str](), Counter[str]()
    for file in files:
        rejected[file.name] += sum(file.rejected.values())
        rows[file.name] += file.rows
    broken, of = rejected.total(), rejected.total() + rows.total()
    allowed = float(run.common_settings[REJECTED_SHARE])
    outcome, detail = "ok", ""
    if broken:
        whole = [file for file in rejected if rejected[file] and not rows[file]]
        outcome = "warn" if whole or broken > allowed * of else "reject"
        detail = f"every row of {format_list(whole, _NAMES)}; " * bool(whole) + _commonest(run, name, files)
    if broken and not kept and allowed < 1:
        outcome, detail = "fail", f"{detail}; no source has a row left, which {REJECTED_SHARE} = 1 allows"
    return CheckResult(name, REJECTED, "validity", "reject", broken, of, outcome, allowed, detail)


def _commonest(run: Run, name: str, files: Sequence[FileState]) -> str:
    """The commonest reason, with the number of rows, and the column as the source may call it."""
    rejects = [str(run.bronze / file.folder / part) for file in files for part in file.rejects]
    counts = scan_file(*rejects).group_by("check", "column").len().collect()
    reason, column, count = counts.sort("len", "check", "column", descending=[True, False, False]).row(0)
    known = run.job.sources[name].contract.columns.get(column)
    return f"{count:,} {reason}" + (f" in {' or '.join(known.names(column))}" if known else "")
