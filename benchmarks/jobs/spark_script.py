"""PySpark SQL: ``python -m benchmarks.jobs.spark_script SOURCE OUTPUT``: all tables as Parquet, of all files.

Spark alone has no tables in which rows are replaced, so a change makes everything again.
"""

import sys
import tempfile

from pyspark.sql import functions as f

from benchmarks.jobs.star import PARTITIONED, SPARK, TABLES
from benchmarks.spark_session import open_spark


def main(source: str, output: str) -> None:
    """Run the statements on two threads."""
    spark = open_spark("6g", 8, {"spark.sql.warehouse.dir": f"{tempfile.gettempdir()}/warehouse"})
    for statement in SPARK.functions:
        spark.sql(statement)
    for name in ("orders", "payments", "customers", "products"):
        rows = spark.read.csv(f"{source}/{name}*.csv", header=True, inferSchema=False, enforceSchema=False)
        rows.withColumn("file", f.input_file_name()).createOrReplaceTempView(name)
    inputs = {**{name: name for name in (*TABLES, "orders", "payments", "customers", "products")}, "days": SPARK.days}
    for name, select in TABLES.items():
        rows = spark.sql(select.format(**inputs))
        if name in PARTITIONED:
            rows = rows.repartition("year", "month")
            rows.write.partitionBy("year", "month").parquet(f"{output}/{name}")
        else:
            rows.coalesce(1).write.parquet(f"{output}/{name}")
        spark.read.parquet(f"{output}/{name}").createOrReplaceTempView(name)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
