"""Judges whether anything counts: of the input, without which nothing is published, and of each new file."""

from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.aggregate.tasks import Phase2Result
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.quality import QualityResult
from pipeline.reading.header_changes import DIRECTIVE, REPEATED_HEADER
from pipeline.reading.watch_times import WATCH_TIME_NOT_A_NUMBER, WATCH_TIME_WRONG_FORMAT
from utils.units import format_count

NOTHING_KEPT = "nothing_kept"
"""The gate of a run whose input has records, or files that were refused, and of which nothing counts."""

ALL_REJECTED = "all_rejected"
"""The warning of files of which every record was rejected."""

_SETTINGS = {
    "watch_time_missing": "WATCH_TIME_COLUMN",
    "watch_time_not_a_number": "WATCH_TIME_COLUMN",
    "watch_time_wrong_format": "WATCH_TIME_FORMAT",
    "watch_time_negative": "WATCH_TIME_COLUMN",
    "watch_time_too_large": "WATCH_TIME_UNIT",
    "blank_log_id": "LOG_ID_COLUMN",
    "blank_user_id": "USER_ID_COLUMN",
    "unclosed_quote": "MAX_RECORD_BYTES",
    "record_too_long": "MAX_RECORD_BYTES",
}
"""The setting that most likely helps, by the reason of rejected records."""

_NO_RECORDS = (REPEATED_HEADER, DIRECTIVE)
_NAMES = 10


def judge_kept(phase1: Phase1Result, phase2: Phase2Result, *, allow: bool) -> QualityResult | None:
    """Judge a run of which nothing counts; None where something does, or where the input has no record and is whole.

    ``allow``: publish all the same, with a warning (ALLOW_EMPTY_RESULT).
    """
    counts = phase1.counts
    rejected = _without_headers(counts.rejected)
    records = counts.records - (counts.rejected - rejected).total()
    if phase2.kept or not (records or phase1.refused):
        return None
    parts = [_describe_reasons(rejected, counts.likely)] if rejected else []
    if phase1.refused:
        count = len(phase1.refused)
        parts.append("1 file was refused" if count == 1 else f"{count:,} files were refused")
    outcome = "warn" if allow else "fail"
    return QualityResult(NOTHING_KEPT, rejected.total(), records, outcome, detail="; ".join(parts))


def find_all_rejected(ledgers: Sequence[FileLedger], was_good: Callable[[FileLedger], bool]) -> QualityResult | None:
    """A warning that names the files of which every record was rejected; None where there are none.

    ``ledgers``: of the files that count for the first time. ``was_good``: whether good records of the file at that
    path count in the version before.
    """
    bad = [
        ledger
        for ledger in ledgers
        if ledger.records == ledger.rejected_by_reason.total() and _without_headers(ledger.rejected_by_reason)
    ]
    if not bad:
        return None
    turned = {ledger.file.path for ledger in bad if was_good(ledger)}
    bad.sort(key=lambda ledger: ledger.file.path not in turned)
    named = [
        f"{display_name(ledger.file.path)} ({_describe_reasons(ledger.rejected_by_reason, ledger.likely)}"
        f"{', though it had good records before' if ledger.file.path in turned else ''})"
        for ledger in bad[:_NAMES]
    ]
    more = f" and {format_count(len(bad) - _NAMES, 'more file')}" if len(bad) > _NAMES else ""
    count = sum(ledger.records for ledger in bad)
    of = sum(ledger.records for ledger in ledgers)
    return QualityResult(ALL_REJECTED, count, of, "warn", detail=f"every record of {', '.join(named)}{more}")


def explain_nothing_kept(result: QualityResult) -> str:
    """The message of a run that ``judge_kept`` stopped: what is wrong, and the setting that helps."""
    found = "no file that can be read has a record"
    if result.count:
        found = f"all {result.count:,} records were rejected" if result.count > 1 else "the only record was rejected"
    return (
        f"nothing would count: {found} ({result.detail}). Nothing was published, the previous output still stands. "
        "Correct the logs, or set ALLOW_EMPTY_RESULT = true to publish a result without rows, and run again."
    )


def _describe_reasons(rejected: Counter[str], likely: Counter[str]) -> str:
    reason = _commonest(rejected)
    setting = _setting_for(reason, likely)
    share = "all" if len(rejected) == 1 else f"{rejected[reason]:,} of {rejected.total():,}"
    return f"{share} {reason}" + (f", see {setting}" if setting else "")


def _without_headers(rejected: Counter[str]) -> Counter[str]:
    """The rejected records that are no headers and directives: a log of nothing else is an empty one."""
    return Counter({reason: count for reason, count in rejected.items() if reason not in _NO_RECORDS})


def _commonest(rejected: Counter[str]) -> str:
    return min(rejected, key=lambda reason: (-rejected[reason], reason))


def _setting_for(reason: str, likely: Counter[str]) -> str:
    """The setting that most likely helps, with its value where the rejected values look like a format of theirs."""
    formats = {setting: count for setting, count in likely.items() if setting.startswith("WATCH_TIME_FORMAT")}
    if formats and reason in (WATCH_TIME_NOT_A_NUMBER, WATCH_TIME_WRONG_FORMAT):
        return min(formats, key=lambda setting: (-formats[setting], setting))
    return "RECORD_RULES" if reason.startswith("rule:") else _SETTINGS.get(reason, "")
