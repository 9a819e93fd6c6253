"""Jobs over databases, as they are typed: settings from .env, exit codes, and no secret anywhere."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.database_servers import empty_schema, run_sql
from tests.end_to_end.command import command
from tests.pipeline.datasets.jobs_for_tests import write_job

EMBEDDED = "--engine", "polars"
TABLE = "CREATE TABLE sales AS SELECT 'o1' AS order_id, 'ann' AS customer, date '2026-01-01' AS day, 1.5 AS amount"


def test_env_has_all_settings_and_nothing_written_has_the_password(postgres: str, tmp_path: Path) -> None:
    write_job(tmp_path / "shop")
    with empty_schema(postgres) as url:
        run_sql(url, TABLE)
        options = parse_qs(urlsplit(url).query)
        (tmp_path / ".env").write_text(
            f"PGHOST={options['host'][0]}\nPGUSER=postgres\nexport PGDATABASE='postgres'\nPGPASSWORD=sec-ret\n"
            f"PGOPTIONS={options['options'][0]}\nLOGMILL_ENGINE=spark\n"
        )
        source = "--source", "postgresql://", "--output", "result"
        found = json.loads(command("job", "./shop", *source, *EMBEDDED, "--json", cwd=tmp_path).out)
        assert (found["status"], found["tables"]["totals"]["rows"]) == ("ok", 1)
        for action in ("plan", "status"):
            ended = command("job", "./shop", action, *source, cwd=tmp_path)
            assert ended.code == 0
            assert "sec-ret" not in ended.out + ended.err
    gone = command("job", "./shop", *source, *EMBEDDED, cwd=tmp_path)
    assert gone.code == 3
    assert "there is no table sales in this PostgreSQL database" in gone.err
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".env"]
    assert written
    assert not [path for path in written if b"sec-ret" in path.read_bytes()]


def test_a_server_that_is_not_there_ends_the_run_with_its_code(tmp_path: Path) -> None:
    write_job(tmp_path / "shop")
    for url in ("postgresql://ann@127.0.0.1:1/shop", "mysql://ann@127.0.0.1:1/shop"):
        ended = command("job", "./shop", "--source", url, *EMBEDDED, cwd=tmp_path)
        assert ended.code == 5
        assert "cannot connect: there is no answer. Check host and port" in ended.err
    ended = command("job", "./shop", "--source", "mysql://ann:sec-ret@127.0.0.1:1/shop", cwd=tmp_path)
    assert (ended.code, "sec-ret" in ended.err) == (2, False)
