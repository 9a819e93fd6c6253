"""Judges a table by what its buckets found and by its files: every check has a result, and some stop the run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from pipeline.datasets.checks import Check
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.judge import count_broken, row_checks
from pipeline.datasets.kernels import input_schema, missing_values
from pipeline.datasets.make_table import Making
from pipeline.datasets.result import CheckResult
from pipeline.datasets.run import Run
from pipeline.datasets.sizes import rows_of
from pipeline.datasets.units import scan, scan_file

_INT64 = 2**63
_REQUIRED = "required:"
_SUMS_FIT = "sums_fit:"


def judge_table(run: Run, one: DataSet, made: Making) -> list[CheckResult]:
    """The results of all checks of a table, as it is now. A table that was taken over was judged before."""
    if not made.reason:
        return [] if run.before is None else _judge_again(run, run.before.record, one, made)
    counts = _row_counts(run, one, made)
    total = made.table.rows + made.table.rejected + made.table.dropped
    results = [_judge(one, check, counts.get(check.name, 0), total) for check in row_checks(one)]
    results += [_judge_table_check(run, one, check, made) for check in one.checks if not check.of_rows]
    # A column whose largest value times the rows is beyond 64 bits could wrap in a sum, without an error.
    for name, largest in _largest(run, one).items():
        if largest * max(1, made.table.rows) >= _INT64:
            detail = f"the largest amount, {largest.bit_length()} bits, times the rows does not fit into 64 bits"
            results.append(CheckResult(one.name, f"{_SUMS_FIT}{name}", "accuracy", "warn", 1, 1, "warn", None, detail))
    # Contracts are met by nearly all rows: only what is broken is worth a line.
    return [result for result in results if not result.check.startswith(_REQUIRED) or result.broken]


def failure(checks: Sequence[CheckResult]) -> str | None:
    """The message that checks stopped the run; None where none does."""
    failed = [str(check) for check in checks if check.outcome == "fail"]
    if not failed:
        return None
    return (
        f"a check stopped publication: {'; '.join(failed)}. Nothing was published, the previous output still stands. "
        "Correct the data, the settings or the check, and run again."
    )


def _row_counts(run: Run, one: DataSet, made: Making) -> Counter[str]:
    """Rows that break each check of rows, over the whole table."""
    counts: Counter[str] = Counter()
    for path in run.rejects[one.name]:
        counts.update(dict(scan_file(path).group_by("check").len().collect().iter_rows()))
    removing = {check.name for check in row_checks(one) if check.removes}
    for bucket in made.buckets:
        counts.update({name: count for name, count in bucket.broken.items() if name not in removing})
    again = [check for check in row_checks(one) if check.name not in removing and _needs_all(run, check, one, made)]
    for name, count in _count_in_all(run, one, again).items():
        counts[name] = count
    return counts


def _count_in_all(run: Run, one: DataSet, checks: Sequence[Check]) -> dict[str, int]:
    """How many rows of the whole table, as it is now, break each of some checks."""
    if not checks:
        return {}
    rows = scan(run.files(one.name), one.contract.schema())
    missing = missing_values(run.job, checks, {name: run.files(name) for name in one.references}, rows)
    return count_broken(rows, one, checks, missing)


def _needs_all(run: Run, check: Check, one: DataSet, made: Making) -> bool:
    """Whether what the buckets found does not tell how many rows of the whole table break a check."""
    if check.kind == "unique" and not (one.by and set(one.by) <= set(check.columns)):
        return made.partly or len(made.buckets) > 1
    return made.partly and (_broken_before(run, check, one) != 0 or _lost_reference(run, check))


def _lost_reference(run: Run, check: Check) -> bool:
    """Whether a value may refer to nothing now that referred to something in the version before."""
    if check.kind != "reference":
        return False
    table, column = check.to
    return run.changes[table].loses_values(column, scan(run.files(table), input_schema(run.job, table)))


def _broken_before(run: Run, check: Check, one: DataSet) -> int | None:
    """How many rows broke a check in the version before; None: it was not judged, as a setting left it out."""
    assert run.before is not None, "there is a version before, of which something stays"
    found = {result["check"]: result["broken"] for result in run.before.record["checks"] if result["table"] == one.name}
    # What a contract requires is judged always, and told only where it is broken.
    return found.get(check.name, 0 if check.name.startswith(_REQUIRED) else None)


def _judge(one: DataSet, check: Check, broken: int, of: int) -> CheckResult:
    share, limit = broken / of if of else 0.0, check.allowed
    assert not isinstance(limit, str), "the settings of the run are applied to its checks"
    outcome = "ok"
    if broken:
        if check.action == "fail":
            outcome = "fail" if limit is None or share > limit else "ok"
        elif check.removes:
            outcome = "fail" if limit is not None and share > limit else str(check.action)
        else:
            outcome = "warn" if limit is None or share > limit else "ok"
    return CheckResult(one.name, check.name, check.dimension, str(check.action), broken, of, outcome, limit)


def _judge_table_check(run: Run, one: DataSet, check: Check, made: Making) -> CheckResult:
    rows = scan(run.files(one.name), one.contract.schema())
    table = made.table
    if check.kind == "row_count":
        low, high = check.limits
        assert not isinstance(high, str), "the settings of the run are applied to its checks"
        good = (low is None or table.rows >= low) and (high is None or table.rows <= high)
        most = "any number" if high is None else f"{high:,}"
        detail = f"{table.rows:,} rows, expected {low or 0:,} to {most}"
    elif check.kind == "repeated":
        read = rows_of(run.files(check.source[0]))
        return _judge(one, check, max(0, read - table.rows - table.rejected - table.dropped), read)
    elif check.kind == "fresh":
        good, detail = _is_fresh(rows, check, run.context.as_of)
    else:
        good, detail = _is_conserved(check, made)
    action = str(check.action)
    outcome = "ok" if good else action
    return CheckResult(
        one.name, check.name, check.dimension, action, int(not good), 1, outcome, None, "" if good else detail
    )


def _is_fresh(rows: pl.LazyFrame, check: Check, as_of: datetime) -> tuple[bool, str]:
    latest = rows.select(pl.col(check.columns[0]).max()).collect().item()
    if latest is None:
        return False, "there is no value"
    if isinstance(latest, date) and not isinstance(latest, datetime):
        latest = datetime(latest.year, latest.month, latest.day) + timedelta(days=1)  # its end
    hours = (as_of - latest).total_seconds() / 3600
    limit = float(check.limits[1] or 0)
    return hours <= limit, f"the latest value is {hours:,.1f} hours old, expected at most {limit:g}"


def _is_conserved(check: Check, made: Making) -> tuple[bool, str]:
    sums = [bucket.sums[check.name] for bucket in made.buckets]
    result, source = sum(pair[0] for pair in sums), sum(pair[1] for pair in sums)
    how = "more: rows were multiplied" if result > source else "less: rows were lost"
    return result == source, f"the sum and that of {check.source[0]} differ, by {abs(result - source):,} {how}"


def _largest(run: Run, one: DataSet) -> dict[str, int]:
    """By amount of money its largest absolute value in the whole table, which the footers of its files tell."""
    found = {name: 0 for name, column in one.contract.columns.items() if getattr(column, "currency", None)}
    if not found:
        return {}
    for footer in map(pq.read_metadata, run.files(one.name).files):
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                known = chunk.statistics
                if chunk.path_in_schema in found and known is not None and known.has_min_max:
                    name = chunk.path_in_schema
                    found[name] = max(found[name], known.max, -known.min)
    return found


def _judge_again(run: Run, record: Mapping[str, Any], one: DataSet, made: Making) -> list[CheckResult]:
    """The results of a version before, by the actions and shares of now and the as-of of this run.

    Checks that settings left out then are judged now, and those that they leave out now are not told.
    """
    results = []
    checks = {check.name: check for check in (*row_checks(one), *one.checks)}
    told = [CheckResult(**check) for check in record.get("checks", []) if check["table"] == one.name]
    for found in told:
        check = checks.get(found.check)
        if check is None:
            results += [found] if found.check.startswith(_SUMS_FIT) else []
        elif check.kind == "fresh":
            results.append(_judge_table_check(run, one, check, made))
        else:
            again = check.of_rows or check.kind == "repeated"
            results.append(_judge(one, check, found.broken, found.of) if again else found)
    known = {found.check for found in told}
    new = [check for check in row_checks(one) if check.name not in known and not check.name.startswith(_REQUIRED)]
    total = made.table.rows + made.table.rejected + made.table.dropped
    counts = _count_in_all(run, one, new)
    return results + [_judge(one, check, counts[check.name], total) for check in new]
