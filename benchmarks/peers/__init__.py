"""The job as each peer does it best: programs of one statement, ``python -m benchmarks.peers.NAME LOGS GEO OUTPUT``.

LOGS: a folder of CSV files. GEO: a Parquet file, the first address (UInt32) of each IPv4 range and its region. OUTPUT:
a folder that does not exist, for Parquet with geo_region, user_id, total (minutes) and n (events).
"""

THREADS = 2
"""Cores that every contender may use."""
