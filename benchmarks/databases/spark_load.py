"""PySpark: ``python -m benchmarks.databases.spark_load URL JAR OUTPUT``: three tables of the shop as Parquet.

Each is there once, and as the job ``storefront`` checks it. Each table is read by JDBC in two ranges of its key.
"""

import sys

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as f

from benchmarks.peers import THREADS
from benchmarks.spark_session import open_spark


def main(url: str, jar: str, output: str) -> None:
    """Load the three tables on two threads."""
    spark = open_spark("6g", 8, {"spark.jars": jar, "spark.sql.session.timeZone": "UTC"})

    def read(table: str, key: str) -> DataFrame:
        given = {"driver": "org.postgresql.Driver", "fetchsize": "10000"}
        ends = spark.read.jdbc(url, f"(select min({key}) as low, max({key}) as high from {table}) t", properties=given)
        low, high = ends.first() or (0, 0)
        return spark.read.jdbc(url, table, key, low, high + 1, THREADS, properties=given)

    def once(rows: DataFrame, key: str, *order: Column) -> DataFrame:
        place = f.row_number().over(Window.partitionBy(key).orderBy(*order))
        return rows.withColumn("place", place).where("place = 1").drop("place")

    orders = once(read("orders", "order_id"), "order_id", f.desc("updated_at"))
    status = f.coalesce(f.lower(f.trim("status")), f.lit("unknown"))
    orders.where("total_price >= 0").withColumns(
        {"status": status, "day": f.to_date("ordered_at"), "counts": status != "cancelled"}
    ).withColumnRenamed("total_price", "total").write.parquet(f"{output}/clean_orders")
    lines = once(read("order_item", "order_item_id"), "order_item_id", f.desc("updated_at"))
    good = "quantity >= 1 and base_price >= 0 and tax >= 0 and tax <= base_price"
    lines.where(good).write.parquet(f"{output}/clean_order_items")
    clicks = once(read("clickstream", "click_id"), "event_id", f.asc("received_at"), f.asc("click_id"))
    events = clicks.where(f.col("event_type").isin("view", "impression", "add_to_cart", "checkout", "purchase"))
    events.withColumn("day", f.to_date("event_at")).write.parquet(f"{output}/clean_clicks")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
