"""What a demo is read from: files, or a PostgreSQL server of the run."""

from pathlib import Path

import pytest

from pipeline.datasets import demo_server
from pipeline.datasets.demo_server import fill_tables, open_demo
from pipeline.errors import EnvironmentFault
from tests.database_servers import empty_schema, run_sql
from tests.pipeline.datasets.jobs_for_tests import write_job

SCHEMA = "create table maker (name text primary key);\ncreate table sales (n int, maker text references maker);\n"


@pytest.mark.parametrize(("schema", "told"), [("", 0), (SCHEMA, 1)])
def test_a_demo_without_schema_or_server_is_read_from_files(
    schema: str, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_server, "find_spec", lambda _: None)
    job = write_job(tmp_path / "job")
    if schema:
        (job.folder / "schema.sql").write_text(schema)
    sentences: list[str] = []
    with open_demo(job, tmp_path / "demo", sentences.append) as source:
        assert source == str(tmp_path / "demo")
    assert len(sentences) == told
    assert all("requirements-demo.txt" in sentence for sentence in sentences)


@pytest.mark.slow
def test_tables_are_filled_whole_or_not_at_all(postgres: str, tmp_path: Path) -> None:
    """Names with quotes, columns in another order, empty fields and texts of several lines."""
    place = tmp_path / "it's here"
    place.mkdir()
    schema = tmp_path / "schema.sql"
    schema.write_text(SCHEMA)
    (place / "maker.csv").write_text('name\n"a\nb"\n')
    (place / "sales.csv").write_text('maker,n\n"a\nb",1\n,2\n')
    with empty_schema(postgres) as url:
        fill_tables(url, schema, place)
        assert run_sql(url, "select n, maker from sales order by n") == [(1, "a\nb"), (2, None)]
    (place / "sales.csv").write_text("maker,n\nnobody,1\n")
    with empty_schema(postgres) as url:
        with pytest.raises(EnvironmentFault, match=r"does not take the demo's files: ERROR: .*foreign key"):
            fill_tables(url, schema, place)
        assert run_sql(url, "select count(*) from pg_tables where schemaname = current_schema()") == [(0,)]
