"""The job as each peer does it best: programs of one statement, ``python -m benchmarks.peers.NAME LOGS GEO OUTPUT``.

LOGS: a folder of CSV files. GEO: a Parquet file, the first address (UInt32) of each IPv4 range and its region. OUTPUT:
a folder that does not exist, for Parquet with geo_region, user_id, total (minutes) and n (events).
"""

import os

THREADS = 2
"""Cores that every contender may use."""
MEMORY_VARIABLE = "BENCHMARK_MEMORY_BYTES"
"""Names the variable that holds the limit of a run's memory, at which the run is ended."""
MEMORY_SHARE = 0.8
"""Share of the limit that a peer is told to keep within: what it counts itself is not all that its process takes."""


MASTER_VARIABLE = "BENCHMARK_SPARK_MASTER"
"""Names the variable that holds the address of the cluster, for contenders that run on it."""


def memory_budget() -> int | None:
    """Bytes that a peer is told to keep within, and to write to the disk what is more; None: there is no limit."""
    limit = os.environ.get(MEMORY_VARIABLE)
    return int(MEMORY_SHARE * int(limit)) if limit else None
