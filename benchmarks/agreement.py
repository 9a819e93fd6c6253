"""Whether two results are the same, row by row: DuckDB reads them all alike."""

from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class Digest:
    """A result in short; ``fingerprint`` sums a hash of (region, user, micro-minutes, events) over all rows."""

    rows: int
    users: int
    regions: int
    micro_minutes: int
    events: int
    fingerprint: int

    def __str__(self) -> str:
        return (
            f"{self.events:,} events of {self.users:,} users in {self.rows:,} rows and {self.regions} regions, "
            f"{self.micro_minutes / 1e6:,.2f} minutes"
        )


def digest_result(folder: Path) -> Digest:
    """Read a result: Parquet files below ``folder``, regions in the path or as a column, totals by either naming.

    Raises ValueError where there are no rows.
    """
    source = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    with duckdb.connect() as database:
        names = {name for name, *_ in database.execute(f"describe from {source}").fetchall()}
        total, events = ("total_watch_time_min", "event_count") if "event_count" in names else ("total", "n")
        found = database.execute(
            f"""with r as (
                  select geo_region::varchar region, user_id::varchar u, round({total} * 1e6)::bigint m,
                    {events}::bigint n
                  from {source})
                select count(*), count(distinct u), count(distinct region), sum(m), sum(n),
                  sum(hash(region, u, m, n)::hugeint)
                from r"""
        ).fetchone()
    if found is None or not found[0]:
        raise ValueError(f"{folder} holds no rows")
    return Digest(*map(int, found))
