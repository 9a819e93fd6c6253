"""The shop in PostgreSQL: the tables of the job are those that its dumps give, day by day."""

import datetime as dt
from pathlib import Path

import pytest

from jobs.storefront.demo import HEADERS, lives
from pipeline.datasets.demo_server import SCHEMA_FILE, fill_tables
from tests.database_servers import empty_schema, run_sql
from tests.jobs.storefront.shops import run, storefront
from tests.pipeline.datasets.jobs_for_tests import files, read


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


def test_a_buyer_whom_the_shop_deletes_has_no_current_version(postgres: str, tmp_path: Path) -> None:
    """One whose person is deleted has one, without name."""
    at, asked = [dt.datetime(2026, 7, day) for day in range(1, 4)], {"output": str(tmp_path / "output")}
    statements = (storefront().folder / SCHEMA_FILE).read_text(encoding="utf-8").split(";")
    tables = [one for one in statements if "create table app_user" in one or "create table buyer" in one]
    with empty_schema(postgres) as url:
        run_sql(
            url, *tables, "alter table buyer drop constraint buyer_user_id_fkey",
            f"insert into app_user (user_id, user_name, updated_at) select n, 'Person ' || n, '{at[0]}+00'"
            " from generate_series(1, 3) n",
            f"insert into buyer select 10 + n, n, 'basic', '{at[0]}+00' from generate_series(1, 3) n",
        )  # fmt: skip
        run(tmp_path, source=url, as_of=at[1], only=("dim_buyer",), **asked)
        run_sql(url, "delete from buyer where buyer_id = 11", "delete from app_user where user_id = 2")
        result = run(tmp_path, source=url, as_of=at[2], only=("dim_buyer",), **asked)
    found = read(result, "dim_buyer").sort("buyer_id", "valid_from")
    assert found.select("buyer_id", "user_name", "valid_from", "valid_to").rows() == [
        (11, "Person 1", at[0], at[2]), (12, "Person 2", at[0], at[2]), (12, None, at[2], None),
        (13, "Person 3", at[0], None),
    ]  # fmt: skip
