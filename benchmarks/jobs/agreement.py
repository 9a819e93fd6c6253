"""Compares the tables of two contenders row by row, without the keys that each makes in its own way."""

from pathlib import Path

import duckdb

from benchmarks.jobs.contenders import Contender

COMPARED = {
    "fact_sales": """
        select f.order_id, f.line_number, coalesce(c.customer_id, '?') as customer_id, p.product_id, f.date_key,
               f.quantity, f.unit_price_cents, f.net_cents, f.cost_cents, f.profit_cents, f.payment_status
        from {fact_sales} f join {dim_customer} c using (customer_key) join {dim_product} p using (product_key)""",
    "fact_payments": """
        select payment_id, order_id, date_key, method, counts, amount_cents, fee_cents from {fact_payments}""",
    "dim_customer": "select coalesce(customer_id, '?'), city, age, segment, is_inferred from {dim_customer}",
    "dim_product": """
        select product_id, category, price_cents, cost_cents, price_class, margin_points from {dim_product}""",
    "monthly_sales": "select year, month, orders, customers, quantity, net_cents, profit_cents from {monthly_sales}",
    "customer_metrics": """
        select coalesce(customer_id, '?'), segment, city, orders, quantity, net_cents, profit_cents, first_order,
               last_order from {customer_metrics}""",
    "product_performance": """
        select product_id, category, orders, quantity, net_cents, profit_cents from {product_performance}""",
}
_SOURCES = ("fact_sales", "fact_payments", "dim_customer", "dim_product", "monthly_sales", "customer_metrics",
            "product_performance")  # fmt: skip


def keep(contender: Contender, output: Path, agreed: Path) -> dict[str, int]:
    """Write what a contender made, as it is compared, into the database ``agreed``. Returns the rows of each table."""
    agreed.unlink(missing_ok=True)
    with duckdb.connect(str(agreed)) as base:
        _attach(base, contender, output)
        for name, query in _queries(contender, output).items():
            base.execute(f"create table {name} as {query}")
        return {name: _count(base, f"select * from {name}") for name in COMPARED}


def difference(contender: Contender, output: Path, agreed: Path) -> str:
    """What of a contender's tables differs from those that are kept; empty: nothing."""
    found = []
    with duckdb.connect(str(agreed), read_only=True) as base:
        _attach(base, contender, output)
        for name, query in _queries(contender, output).items():
            more = _count(base, f"({query}) except all (select * from {name})")
            less = _count(base, f"(select * from {name}) except all ({query})")
            if more or less:
                found.append(f"{name}: {more:,} rows that others lack, {less:,} lacking")
    return "; ".join(found)


def _attach(base: duckdb.DuckDBPyConnection, contender: Contender, output: Path) -> None:
    if contender.database:
        base.execute(f"attach '{output / contender.database}' as result (read_only)")


def _queries(contender: Contender, output: Path) -> dict[str, str]:
    tables = {name: contender.table(output, name) for name in _SOURCES}
    return {name: query.format(**tables) for name, query in COMPARED.items()}


def _count(base: duckdb.DuckDBPyConnection, query: str) -> int:
    found = base.execute(f"select count(*) from ({query})").fetchone()
    assert found is not None, "a count has a row"
    return int(found[0])
