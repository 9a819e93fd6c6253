"""PySpark alone: Spark's plan, the region by a binary search in Arrow batches, a 12 GB driver."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as f

from benchmarks.spark_session import open_spark

MINUTES = "watch_time(min)"


def main(logs: str, geo: str, output: str) -> None:
    """Run the query on two threads and 16 shuffle partitions."""
    spark = open_spark("12g", 16, {"spark.sql.execution.arrow.maxRecordsPerBatch": "100000"})
    table = pq.read_table(geo)
    first = table["a"].to_numpy()
    regions = table["region"].combine_chunks()

    def locate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            place = np.searchsorted(first, batch.column("ip").to_numpy(), side="right") - 1
            columns = [regions.take(pa.array(place)), *(batch.column(name) for name in ("user_id", "w"))]
            yield pa.RecordBatch.from_arrays(columns, ["geo_region", "user_id", "w"])

    with next(Path(logs).glob("*.csv")).open(encoding="utf-8") as log:
        names = log.readline().strip().split(",")
    schema = ", ".join(f"`{name}` {'double' if name == MINUTES else 'string'}" for name in names)
    parts = f.split("ip_address", r"\.")
    number = sum((parts[i].cast("long") * 256 ** (3 - i) for i in range(4)), f.lit(0))
    (
        spark.read.csv(f"{logs}/*.csv", header=True, schema=schema, escape='"')
        .select("log_id", "user_id", "ip_address", f.col(MINUTES).alias("w"))
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
