"""Fills a PostgreSQL database with the tables of ``storefront``, by statements of SQL alone."""

import re
from contextlib import closing
from pathlib import Path

from pipeline.datasets.demo_server import SCHEMA_FILE
from pipeline.datasets.job import JOBS
from pipeline.sources.databases.address import parse_address
from pipeline.sources.databases.postgres import connect, run

LINES_OF_ORDER, CLICKS_OF_ORDER = 3, 5
_FILLED = (
    "insert into app_user (user_id, user_name, email) select n, 'Person ' || n, n || '@example.org'"
    " from generate_series(0, 999) n",
    "insert into product (product_id, product_name, price) select n, 'Thing ' || n, 9 from generate_series(0, 999) n",
    "insert into buyer (buyer_id, user_id, tier) select n, n, 'basic' from generate_series(0, 999) n",
    "insert into seller (seller_id, user_id, seller_name) select n, n, 'Shop ' || n from generate_series(0, 99) n",
    "insert into orders select n, n % 1000, {begin} + n * interval '20 seconds',"
    " (array['paid', ' Shipped', 'CANCELLED'])[1 + n % 3], 'USD', (n % 100000) / 100.0,"
    " {begin} + n * interval '21 seconds' from generate_series(1, {orders}) n",
    "insert into order_item select n, 1 + n / {lines}, n % 1000, n % 100, n % 6, (n % 50000) / 100.0,"
    " (n % 900) / 1000.0, {begin} + n * interval '7 seconds' from generate_series(1, {lines} * ({orders} - 1)) n",
    "insert into clickstream select n, {begin} + n * interval '4 seconds', 'e' || n - n % 20 / 19,"
    " {begin} + n * interval '3 seconds', (array['view', 'impression', 'add_to_cart', 'hover', 'purchase'])[1 + n % 5],"
    " nullif(n % 1001, 1000), n % 1000, null from generate_series(1, {clicks} * {orders}) n",
    "analyze",
)
"""Some lines have no piece, every twentieth click repeats the event before it, and a fifth of them is no event."""


def fill(url: str, orders: int) -> None:
    """Make the tables anew, with so many orders."""
    text = (JOBS / "storefront" / SCHEMA_FILE).read_text(encoding="utf-8")
    made = "\n".join(line for line in text.splitlines() if not line.startswith("--")).split(";")
    begin = "timestamptz '2026-01-01 00:00+00'"
    facts = {"orders": orders, "lines": LINES_OF_ORDER, "clicks": CLICKS_OF_ORDER, "begin": begin}
    with closing(connect(parse_address(url))) as connection:
        for table in re.findall(r"create table (\w+)", text):
            run(connection, f"drop table if exists {table} cascade")
        for statement in (*filter(str.strip, made), *(one.format(**facts) for one in _FILLED)):
            run(connection, statement)


def tables_of(output: Path) -> dict[str, str]:
    """The tables that are compared, by the patterns of their files below ``output``."""
    return {name: f"{output}/{name}/**/*.parquet" for name in ("clean_orders", "clean_order_items", "clean_clicks")}
