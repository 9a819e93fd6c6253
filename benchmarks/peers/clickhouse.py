"""ClickHouse in a process (chdb), one statement: ids and addresses as numbers, added up before the range join."""

import importlib
import sys
from pathlib import Path

from benchmarks.peers import THREADS

STATEMENT = """
insert into function file('{output}/part.parquet', Parquet)
select region geo_region, user_id, sum(w) total, toInt64(sum(n)) n from (
  select 1 k, user_id, ip, sum(w) w, count() n from (
    select any(user_id) user_id, toUInt32(any(ip_address)) ip, any(`watch_time(min)`) w
    from file('{logs}/*.csv', CSVWithNames, 'log_id UUID, user_id String, timestamp String, video_id String,
              device_type String, ip_address IPv4, `watch_time(min)` Float64') group by log_id) group by user_id, ip) e
asof join (select 1 k, a, region from file('{geo}', Parquet)) g on e.k = g.k and e.ip >= g.a
group by region, user_id settings max_threads = {threads}
"""


def main(logs: str, geo: str, output: str) -> None:
    """Run the statement on two threads; it writes one file, regions as a column."""
    Path(output).mkdir(parents=True)
    # Not by an import statement: this package is optional, also for the type checker.
    chdb = importlib.import_module("chdb")
    chdb.query(STATEMENT.format(logs=logs, geo=geo, output=output, threads=THREADS))


if __name__ == "__main__":
    main(*sys.argv[1:])
