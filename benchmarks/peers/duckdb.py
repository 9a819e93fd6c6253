"""DuckDB, one statement: add up per user and address first, so that the range join meets few rows."""

import sys
import tempfile

import duckdb

from benchmarks.peers import THREADS, memory_budget

STATEMENT = """
copy (
  with d as (
      select any_value(user_id) user_id, any_value(ip_address) ip_address, any_value("watch_time(min)") w
      from read_csv('{logs}/*.csv', header = true) group by log_id),
    a as (select user_id, ip_address, sum(w) w, count(*) n from d group by all),
    e as (
      select user_id, w, n,
        (split_part(ip_address, '.', 1)::uinteger * 16777216 + split_part(ip_address, '.', 2)::uinteger * 65536
          + split_part(ip_address, '.', 3)::uinteger * 256 + split_part(ip_address, '.', 4)::uinteger)::uinteger ip
      from a)
  select region geo_region, user_id, sum(w) total, sum(n)::bigint n
  from e asof join read_parquet('{geo}') geo on e.ip >= geo.a group by all
) to '{output}' (format parquet, partition_by (geo_region), compression zstd)
"""


def main(logs: str, geo: str, output: str) -> None:
    """Run the statement on two threads."""
    spill = tempfile.gettempdir()
    database = duckdb.connect(
        config={"threads": THREADS, "preserve_insertion_order": False, "temp_directory": f"{spill}/duckdb"}
    )
    if budget := memory_budget():
        database.execute(f"set memory_limit = '{budget} bytes'")
    database.execute(STATEMENT.format(logs=logs, geo=geo, output=output))


if __name__ == "__main__":
    main(*sys.argv[1:])
