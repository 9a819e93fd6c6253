"""Whether two results are the same, row by row: DuckDB reads them all alike."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from utils.units import format_count

_SLACK = 1e-9
"""Share of a total by which floating-point sums of up to a million numbers, in any order, may differ."""


@dataclass(frozen=True)
class Digest:
    """Counts and the sum of minutes of a result."""

    rows: int
    users: int
    regions: int
    minutes: float
    events: int

    def __str__(self) -> str:
        return (
            f"{self.events:,} events of {self.users:,} users in {self.rows:,} rows and "
            f"{format_count(self.regions, 'region')}, {self.minutes:,.2f} minutes"
        )


def keep_result(folder: Path, kept: Path) -> Digest:
    """Write a result as one file ``kept`` (region, user, minutes, events). Raises ValueError where it has no rows."""
    with duckdb.connect() as database:
        database.execute(f"copy ({_rows(database, folder)}) to '{kept}' (format parquet)")
        found = database.execute(
            'select count(*), count(distinct "user"), count(distinct region), sum(minutes), sum(events)::bigint '
            f"from '{kept}'"
        ).fetchone()
    if found is None or not found[0]:
        raise ValueError(f"{folder} holds no rows")
    return Digest(*found)


def difference(kept: Path, folder: Path, exact: bool) -> str | None:
    """How a result differs from the one that was kept, or None.

    Rows and events must be the same, and minutes to the micro-minute, or, where they are not ``exact``, as far as sums
    of floating-point numbers can be. Raises ValueError where there are no rows.
    """
    near = "round(1e6 * a.minutes) = round(1e6 * b.minutes)"
    if not exact:
        near = f"abs(a.minutes - b.minutes) <= greatest(1e-6, {_SLACK} * abs(a.minutes))"
    with duckdb.connect() as database:
        rows = _rows(database, folder)
        found = database.execute(
            f"""select count(*), count(a."user"), count(b."user"), count(*) filter (a.events = b.events and {near}),
                  max(abs(a.minutes - b.minutes))
                from '{kept}' a full join ({rows}) b on (a.region, a."user") = (b.region, b."user")"""
        ).fetchone()
    assert found, "an aggregate has a row"
    total, kept_rows, new_rows, same, largest = found
    if not new_rows:
        raise ValueError(f"{folder} holds no rows")
    if total == same:
        return None
    return (
        f"{total - same:,} of {total:,} rows; {total - new_rows:,} are missing, {total - kept_rows:,} are new, "
        f"and minutes differ by up to {largest or 0:g}"
    )


def _rows(database: duckdb.DuckDBPyConnection, folder: Path) -> str:
    """A statement that reads Parquet files below ``folder``, regions in the path or as a column, by either naming."""
    source = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    names = {name for name, *_ in database.execute(f"describe from {source}").fetchall()}
    minutes, events = ("total_watch_time_min", "event_count") if "event_count" in names else ("total", "n")
    return (
        f'select geo_region::varchar as region, user_id::varchar as "user", {minutes}::double as minutes, '
        f"{events}::bigint as events from {source}"
    )
