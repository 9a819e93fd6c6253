"""The benchmark of jobs: its shop is the same everywhere, a later load equals a full one, differences are noticed."""

import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from benchmarks.jobs import __main__ as program
from benchmarks.jobs import duckdb_script
from benchmarks.jobs.agreement import difference, keep
from benchmarks.jobs.contenders import CONTENDERS
from benchmarks.jobs.dbt_project import write_project
from benchmarks.jobs.page import Round, render
from benchmarks.jobs.shop import make_shop
from benchmarks.measure import Measurement

DUCKDB = CONTENDERS["duckdb"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 500 order lines: ``first``, ``changes``, and ``both``."""
    folder = tmp_path_factory.mktemp("shop")
    make_shop(folder, 500)
    shutil.copytree(folder / "first", folder / "both")
    shutil.copytree(folder / "changes", folder / "both", dirs_exist_ok=True)
    return folder


def run_duckdb(mode: str, source: Path, output: Path) -> None:
    output.mkdir(exist_ok=True)
    duckdb_script.main(mode, str(source), str(output / "shop.duckdb"))


def test_a_later_load_equals_a_full_one_and_a_difference_is_noticed(shop: Path, tmp_path: Path) -> None:
    run_duckdb("full", shop / "first", tmp_path / "loaded")
    run_duckdb("full", shop / "both", tmp_path / "whole")
    agreed = tmp_path / "agreed.duckdb"
    rows = keep(DUCKDB, tmp_path / "whole", agreed)
    assert rows["fact_sales"] > 400
    assert "fact_sales" in difference(DUCKDB, tmp_path / "loaded", agreed)
    run_duckdb("changed", shop / "both", tmp_path / "loaded")
    assert difference(DUCKDB, tmp_path / "loaded", agreed) == ""


def test_the_shop_has_what_it_promises(shop: Path) -> None:
    with duckdb.connect() as base:
        base.execute(f"create table lines as select * from read_csv('{shop}/first/orders.csv', all_varchar = true)")
        base.execute(f"create table later as select * from read_csv('{shop}/changes/orders_2.csv', all_varchar = true)")
        (lines, copies) = base.execute(
            "select count(*), count(*) - (select count(*) from (select distinct * from lines)) from lines"
        ).fetchone()
        (changed,) = base.execute(
            "select count(distinct order_id) from later semi join lines using (order_id)"
        ).fetchone()
        assert 450 < lines < 600
        assert copies > 0
        assert changed == 2  # of 200 orders


def test_facts_are_incremental_models_of_dbt(tmp_path: Path) -> None:
    write_project(tmp_path, tmp_path / "shop.duckdb")
    models = {path.stem: path.read_text() for path in (tmp_path / "models").iterdir()}
    incremental = {name for name, text in models.items() if "materialized='incremental'" in text}
    assert incremental == {"order_lines", "clean_payments", "fact_sales", "fact_payments"}
    assert "ref('order_lines')" in models["fact_sales"]


def runs(*seconds: float, own: float) -> list[Measurement]:
    return [Measurement(one, 10**9, None, own) for one in seconds]


@pytest.mark.parametrize(("lines", "said"), [(1_000_000, "| 0.5 | **missed** |"), (10_000_000, "| 0.9 | met |")])
def test_the_target_beside_dbt_depends_on_the_lines(lines: int, said: str) -> None:
    found = {
        CONTENDERS["logmill"]: {mode: runs(3, own=3) for mode in program.MODES},
        CONTENDERS["dbt"]: {mode: runs(4, own=4) for mode in program.MODES},
    }
    page = render([Round(lines, 10**6, {"fact_sales": 9, "fact_payments": 1}, found, ())], [], "command")
    assert f"| {lines:,} | full | dbt, full | 0.75 | 0.75 {said}" in page


def test_the_page_divides_medians_and_names_missed_targets() -> None:
    found = {
        CONTENDERS["logmill"]: {"full": runs(2, 9, 3, own=4), "changed": runs(1, 1, 1, own=1)},
        DUCKDB: {"full": runs(2, 2, 2, own=2), "changed": runs(4, 4, 4, own=2)},
    }
    page = render([Round(1_000, 10**6, {"fact_sales": 9, "fact_payments": 1}, found, ())], ["left out: dbt"], "command")
    assert "| 1,000 | full | duckdb, full | 1.50 | 2.00 | 1.3 | **missed** |" in page
    assert "| 1,000 | changed | logmill, full | 0.33 | 0.25 | 0.25 | **missed** |" in page
    assert "| 1,000 | changed | duckdb, changed | 0.25 | 0.50 | 1 | met |" in page
    assert "left out: dbt" in page


def test_a_contender_that_runs_once_runs_where_the_files_are_those_of_the_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"logmill": replace(DUCKDB, name="logmill"), "slow": replace(DUCKDB, name="slow", once=True)}
    monkeypatch.setattr(program, "CONTENDERS", known)
    monkeypatch.setattr(program, "_measure", lambda *_: Measurement(2.0, 10**9, None, 1.0))
    monkeypatch.setattr(program, "keep", lambda *_: {"fact_sales": 9, "fact_payments": 1})
    monkeypatch.setattr(program, "difference", lambda *_: "")
    assert program.main(["--lines", "2k", "--peers", "slow", "--runs", "2", "--folder", str(tmp_path)]) == 0
    assert "slow full: 2.0" in capsys.readouterr().out
