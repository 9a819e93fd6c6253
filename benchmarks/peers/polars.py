"""Polars alone, one lazy query on the streaming engine: ids as 128-bit hashes, addresses as numbers.

What does not fit into its budget of memory it writes to the disk.
"""

import os
import sys
import tempfile

from benchmarks.peers import THREADS, memory_budget

# Polars reads these when it is imported.
os.environ["POLARS_MAX_THREADS"] = str(THREADS)
os.environ["POLARS_OOC_SPILL_DIR"] = tempfile.gettempdir()
if budget := memory_budget():
    os.environ["POLARS_OOC_MEMORY_BUDGET_MB"] = str(budget // 2**20)

import polars as pl
import polars_hash as plh
import polars_iptools


def main(logs: str, geo: str, output: str) -> None:
    """Run the query on two threads."""
    events = (
        pl.scan_csv(f"{logs}/*.csv", schema_overrides={"watch_time(min)": pl.Float64})
        .select(
            plh.col("log_id").nchash.xxh3_128(),
            "user_id",
            polars_iptools.ipv4_to_numeric("ip_address").cast(pl.UInt32).alias("ip"),
            "watch_time(min)",
        )
        .unique("log_id")
        .group_by("user_id", "ip")
        .agg(pl.col("watch_time(min)").sum().alias("total"), pl.len().cast(pl.Int64).alias("n"))
    )
    (
        events.sort("ip")
        .join_asof(pl.scan_parquet(geo).sort("a"), left_on="ip", right_on="a")
        .group_by("region", "user_id")
        .agg(pl.col("total").sum(), pl.col("n").sum())
        .rename({"region": "geo_region"})
        .sink_parquet(
            pl.PartitionBy(output, key="geo_region", include_key=False),
            compression="zstd",
            mkdir=True,
            engine="streaming",
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
