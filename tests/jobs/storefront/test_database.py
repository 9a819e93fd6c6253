"""The shop in PostgreSQL: the tables of the job are those that its dumps give, day by day."""

import datetime as dt
from pathlib import Path

import pytest

from jobs.storefront.demo import HEADERS, lives
from pipeline.datasets.demo_server import SCHEMA_FILE, fill_tables
from tests.database_servers import empty_schema, run_sql
from tests.jobs.storefront.shops import run, storefront
from tests.pipeline.datasets.jobs_for_tests import files


@pytest.mark.slow
def test_a_database_gives_the_tables_of_its_dumps(postgres: str, tmp_path: Path) -> None:
    """On the seventh day rows are new, late, corrected and gone."""
    schema = storefront().folder / SCHEMA_FILE
    (tmp_path / "source").mkdir()
    *_, shop = lives(11, days=6, orders=12)
    with empty_schema(postgres) as url:
        for number in (6, 7):
            place = tmp_path / f"{number}"
            place.mkdir()
            shop.write(place)
            fill_tables(url, schema, place)
            moment = dt.datetime(2026, 7, number)
            database = run(tmp_path, source=url, output=str(tmp_path / "database"), as_of=moment)
            shop.write(tmp_path / "source", f"{number}")
            dumps = run(tmp_path, as_of=moment)
            assert files(database.output) == files(dumps.output)
            run_sql(url, *(f"drop table {name}" for name in reversed(HEADERS)))
            shop.live(number)
    for made in (database.sources["clickstream"], database.tables["dim_buyer"], database.tables["wide_orders"]):
        assert 0 < made.recomputed < made.rows
