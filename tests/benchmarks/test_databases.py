"""The benchmark of databases: the job takes the shop that it fills, and finds what PostgreSQL itself counts."""

from pathlib import Path

import duckdb

from benchmarks.databases.shop import fill, tables_of
from tests.database_servers import empty_schema, run_sql
from tests.jobs.storefront.shops import run

EXPECTED = (
    "select count(*), count(*) filter (where lower(trim(status)) <> 'cancelled') from orders",
    "select count(*), sum(quantity) from order_item where quantity > 0 and tax <= base_price",
    "select count(*), count(*) filter (where event_type = 'view') from (select distinct on (event_id) event_type"
    " from clickstream order by event_id, received_at) t where event_type <> 'hover'",
)
FOUND = {
    "clean_orders": "count(*), count(*) filter (where counts)",
    "clean_order_items": "count(*), sum(quantity)::bigint",
    "clean_clicks": "count(*), count(*) filter (where event_type = 'view')",
}


def test_the_shop_is_one_that_the_job_takes(postgres: str, tmp_path: Path) -> None:
    with empty_schema(postgres) as url:
        fill(url, 200)
        result = run(tmp_path, source=url, only=tuple(FOUND))
        expected = [run_sql(url, asked) for asked in EXPECTED]
    files = tables_of(Path(result.output))
    found = [
        duckdb.sql(f"select {asked} from read_parquet('{files[name]}')").fetchall() for name, asked in FOUND.items()
    ]
    assert found == expected
    assert all(count > 100 for ((count, _),) in found)
