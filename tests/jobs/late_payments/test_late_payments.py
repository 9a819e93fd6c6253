"""The job through the program: demo, files as companies write them, laws, and a new day."""

import datetime as dt
import json
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from main import main
from pipeline.datasets.law_check import check_job
from pipeline.datasets.run import JobOptions
from pipeline.engines.direct import DirectEngine
from tests.jobs.late_payments.books import TODAY, late_payments, make_tables, random_book
from tests.pipeline.datasets.jobs_for_tests import files, read, run

pytestmark = pytest.mark.slow
AS_OF = dt.datetime.combine(TODAY, dt.time(12))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["job", "late-payments", *words, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_demo_runs_at_once_and_agrees_with_its_truth(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = answer(capsys)
    assert (found["status"], found["truth"]) == ("ok", [])
    views = answer(capsys, "query", "select count(*) as n from late_rates where invoices > 0")
    assert views["rows"] == [{"n": 60}]
    split = answer(capsys, "--set", "validation_from=2025-06-01")
    assert split["status"] == "ok"
    rows = "select count(*) as n from late_payment_features where split = 'train' and outcome_on >= '2025-06-01'"
    assert answer(capsys, "query", rows)["rows"] == [{"n": 0}]


@pytest.fixture
def book_run(tmp_path: Path) -> Path:
    """A folder with ``source``, a book by chance, and ``output``, what the job made of it."""
    random_book(3).write(tmp_path / "source")
    assert run(late_payments(), tmp_path, as_of=AS_OF).status == "ok"
    return tmp_path


def test_files_as_companies_write_them_give_the_tables_of_their_rows(book_run: Path) -> None:
    """Addresses of several lines, dates such as 3/1/2024 beside ISO ones, prices of nine decimals."""
    made = make_tables(random_book(3))
    result = run(late_payments(), book_run, as_of=AS_OF)
    for name in ("late_payment_features", "ageing", "dso"):
        key = late_payments().datasets[name].key
        expected = made[name]
        if name == "late_payment_features":  # here no first day of validation is set
            expected = expected.with_columns(pl.lit(None, pl.String).alias("split"))
        assert read(result, name).sort(key).equals(expected), name
    assert (result.sources["accounts"].rows, result.tables["customers"].rows) == (9, 7)
    assert result.tables["receipts"].rejected == 1
    quarantine = Path(result.output).resolve().parent / "quarantine" / "receipts"
    assert pl.read_parquet(quarantine / "*.parquet")["check"].to_list() == ["expression:has_invoice"]


def test_all_data_sets_keep_the_laws(book_run: Path) -> None:
    options = JobOptions(str(book_run / "source"), str(book_run / "output"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.datasets.law_check.open_engine", lambda *_: nullcontext(DirectEngine()))
        laws = check_job(late_payments(), Config(ENGINE="polars"), options, NullProgress())
    assert {law.table for law in laws} == set(late_payments().datasets)
    assert [law for law in laws if law.broken] == []


def open_invoice(account: str) -> str:
    """An invoice of an account of which more than 7.00 are open in the end."""
    balances = make_tables(random_book(3))["balances"].filter(pl.col("account_id") == account)
    last = balances.group_by("invoice_id").agg(pl.col("open_cents").sort_by("day").last())
    return str(last.filter(pl.col("open_cents") > 700)["invoice_id"].min())


def test_a_new_day_computes_only_the_accounts_that_it_touches(book_run: Path) -> None:
    book, name = random_book(3), "i-new"
    book.invoices.append((name, "a2", TODAY, None, None, None))
    book.invoice_line_items.append((name, "s3", 2))
    book.payments.append((open_invoice("a4"), TODAY, 700))
    book.write(book_run / "source")
    tomorrow = TODAY + dt.timedelta(days=1)
    moment = dt.datetime.combine(tomorrow, dt.time(12))
    after = run(late_payments(), book_run, as_of=moment)
    features = read(after, "late_payment_features")
    assert name in features["invoice_id"].to_list()
    touched = after.tables["late_payment_features"]
    moved = (pl.col("outcome_on") == tomorrow) | (pl.col("paid_on") == tomorrow)
    accounts = {"a2", "a4", *features.filter(moved)["account_id"]}
    assert touched.recomputed == len(features.filter(pl.col("account_id").is_in(sorted(accounts)))) < touched.rows
    fresh = run(late_payments(), book_run, as_of=moment, output=str(book_run / "fresh"))
    assert files(after.output) == files(fresh.output)


def test_a_setting_chooses_the_folders_of_the_features(book_run: Path) -> None:
    """Their rows stay, and what is learnt of them."""
    months = read(run(late_payments(), book_run, as_of=AS_OF), "late_payment_features").sort("invoice_id")
    for chosen, column in (("issued_year", "issued_year"), ("account_id, issued_year", "account_id")):
        result = run(late_payments(), book_run, as_of=AS_OF, settings={"partition_by": chosen})
        assert read(result, "late_payment_features").sort("invoice_id").equals(months)
        folders = {path.split("/")[1] for path in files(result.output) if path.startswith("late_payment_features")}
        assert folders == {f"{column}={value}" for value in months[column].unique()}
