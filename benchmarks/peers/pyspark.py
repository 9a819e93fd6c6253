"""PySpark alone: Spark's plan, the region by a binary search in Arrow batches, a 12 GB driver."""

import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from benchmarks.peers import THREADS

SCHEMA = (
    "log_id string, user_id string, timestamp string, video_id string, device_type string, ip_address string, "
    "`watch_time(min)` double"
)


def main(logs: str, geo: str, output: str) -> None:
    """Run the query on two threads and 16 shuffle partitions."""
    spark = (
        SparkSession.builder.master(f"local[{THREADS}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "12g")
        .config("spark.sql.shuffle.partitions", "16")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "100000")
        .config("spark.local.dir", tempfile.gettempdir())
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    table = pq.read_table(geo)
    first = table["a"].to_numpy()
    regions = table["region"].combine_chunks()

    def locate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            place = np.searchsorted(first, batch.column("ip").to_numpy(), side="right") - 1
            columns = [regions.take(pa.array(place)), *(batch.column(name) for name in ("user_id", "w"))]
            yield pa.RecordBatch.from_arrays(columns, ["geo_region", "user_id", "w"])

    parts = f.split("ip_address", r"\.")
    number = sum((parts[i].cast("long") * 256 ** (3 - i) for i in range(4)), f.lit(0))
    (
        spark.read.csv(f"{logs}/*.csv", header=True, schema=SCHEMA)
        .select("log_id", "user_id", "ip_address", f.col("watch_time(min)").alias("w"))
        .dropDuplicates(["log_id"])
        .select("user_id", "w", number.alias("ip"))
        .mapInArrow(locate, "geo_region string, user_id string, w double")
        .groupBy("geo_region", "user_id")
        .agg(f.sum("w").alias("total"), f.count("*").alias("n"))
        .write.partitionBy("geo_region")
        .parquet(output)
    )
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
