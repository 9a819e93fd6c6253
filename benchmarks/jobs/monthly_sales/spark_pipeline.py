"""The table ``monthly_sales`` of the job ``warehouse`` for Spark Declarative Pipelines (``spark-pipelines run``)."""

from pyspark import pipelines as dp
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

spark = SparkSession.active()


@dp.materialized_view(
    comment="Orders, customers and amounts of each month. One row per month with sales.",
    schema="""
        year bigint not null comment 'year',
        month bigint not null comment 'month',
        orders bigint not null comment 'orders with at least one line',
        customers bigint not null comment 'customers who bought',
        quantity bigint not null comment 'pieces',
        net_cents bigint not null comment 'net sales, cents',
        profit_cents bigint not null comment 'profit, cents',
        mean_order_cents double not null comment 'net by orders'
    """,
)
def monthly_sales() -> DataFrame:
    """Orders, customers and amounts of each month."""
    return (
        spark.table("fact_sales")
        .groupBy("year", "month")
        .agg(
            F.count_distinct("order_id").alias("orders"),
            F.count_distinct("customer_durable_key").alias("customers"),
            F.sum("quantity").alias("quantity"),
            F.sum("net_cents").alias("net_cents"),
            F.coalesce(F.sum("profit_cents"), F.lit(0)).alias("profit_cents"),
            (F.sum("net_cents").cast("double") / F.count_distinct("order_id")).alias("mean_order_cents"),
        )
    )
