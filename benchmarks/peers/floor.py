"""The floor: Polars parses the four columns that the job needs, and does nothing with them."""

import os
import sys

from benchmarks.peers import THREADS

os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read when Polars is imported

import polars as pl


def main(logs: str, _geo: str, _output: str) -> None:
    """Parse on two threads, batch by batch; there is no result."""
    needed = ["log_id", "user_id", "ip_address", "watch_time(min)"]
    events = pl.scan_csv(f"{logs}/*.csv", schema_overrides={"watch_time(min)": pl.Float64}).select(needed)
    events.sink_batches(lambda _: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
