"""The shop day by day: what the demo's truth says, what is computed again, and that it is what a full rebuild makes."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from jobs.storefront.demo import Shop, lives
from main import main
from pipeline.datasets.demo import TRUTH_FILE, check_truth
from pipeline.datasets.result import JobResult
from tests.jobs.storefront.shops import CLEAR, run
from tests.pipeline.datasets.jobs_for_tests import files, read

pytestmark = pytest.mark.slow
FIRST = dt.datetime(2026, 6, 1, 23)
DAILY = ("daily_category_metrics", "daily_order_metrics")


def run_day(shop: Shop, folder: Path, number: int) -> JobResult:
    """Write the shop as it is at the end of a day, and run."""
    shop.write(folder / "source", f"{number:02d}")
    (folder / "source" / TRUTH_FILE).write_text(json.dumps(shop.truth()))
    return run(folder, as_of=FIRST + dt.timedelta(days=number))


def test_ten_days_are_what_a_full_rebuild_makes(tmp_path: Path) -> None:
    """Days with late, corrected and deleted rows, and repeated clicks."""
    (tmp_path / "source").mkdir()
    for number, shop in enumerate(lives(7, days=10, orders=12)):
        result = run_day(shop, tmp_path, number)
        assert (result.error, check_truth(result, tmp_path / "source")) == (None, [])
    daily = result.tables["daily_order_metrics"]
    assert daily.rows == 10
    again = run(tmp_path, as_of=FIRST + dt.timedelta(days=99))
    assert again.status == "nothing new"
    assert {name: table.recomputed for name, table in again.tables.items() if table.recomputed} == {}
    fresh = run(tmp_path, as_of=FIRST + dt.timedelta(days=100), output=str(tmp_path / "fresh"))
    assert files(result.output) == files(fresh.output)
    assert any("day=2026-06-10" in name for name in files(fresh.output))


def test_a_corrected_day_is_computed_again_alone(tmp_path: Path) -> None:
    """Of one line of the third day the quantity changes: of no other day anything is computed, and files are shared."""
    (tmp_path / "source").mkdir()
    *_, shop = lives(8, days=6, orders=40)
    before = run_day(shop, tmp_path, 6)
    folder = Path(before.output).resolve()
    line = next(
        line for order in shop.tables["orders"] for line in shop.tables["order_item"]
        if str(order["ordered_at"]).startswith("2026-06-03") and order["status"] == "paid" and line["quantity"] == 2
        and order["currency"] == "USD" and line["order_id"] == order["order_id"]
    )  # fmt: skip
    line |= {"quantity": 5, "updated_at": "2026-06-20 00:00:00+00"}
    shop.write(tmp_path / "source", "06")
    after = run(tmp_path, as_of=FIRST + dt.timedelta(days=20))
    made = {name: table.recomputed for name, table in after.tables.items() if table.recomputed}
    changed = read(after, "daily_category_metrics").filter(day=dt.date(2026, 6, 3))
    assert made["daily_order_metrics"] == 1
    assert made["daily_category_metrics"] == len(changed)
    assert made["clean_order_items"] == 1
    lines = read(after, "fact_order_items").filter(order_id=line["order_id"])
    assert (made["fact_order_items"], made["wide_orders"]) == (len(lines), 1)
    assert not {"clean_orders", "fact_orders", "fact_clickstream", "dim_product"} & set(made)
    for path in (Path(after.output).resolve() / "wide_order_items").rglob("*.parquet"):
        same = path.samefile(folder / path.relative_to(Path(after.output).resolve()))
        assert same == ("day=2026-06-03" not in str(path)), path


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["job", "storefront", *words, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_demo_agrees_with_its_truth_and_its_reports_add_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = ask(capsys, "--engine", "polars")
    assert (found["status"], found["truth"]) == ("ok", [])
    assert {step["work"] for step in ask(capsys, "plan")["steps"]} == {"compare", "if changed"}
    checks = {(check["table"], check["check"]): check for check in found["checks"]}
    differing = checks["wide_orders", "expression:header_is_its_lines"]
    views = "select (select count(*) from order_header_differences) as listed, " \
        "(select sum(total_revenue)::varchar from daily_order_report) as orders, " \
        "sum(weighted_revenue)::varchar as weighted, sum(impact_revenue)::varchar as impact, " \
        "count(*) filter (where category = 'Uncategorised') as without from daily_category_report"  # fmt: skip
    (report,) = ask(capsys, "query", views)["rows"]
    assert report["listed"] == differing["broken"] > 5
    assert report["orders"] == report["weighted"]
    assert Decimal(report["impact"]) > Decimal(report["orders"]) > 100_000
    assert report["without"] > 5


def test_who_is_forgotten_is_in_no_table_and_no_extract(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The person, who buys, sells and clicks; the accounts, orders and clicks stay without a person."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    (shop,) = lives(8, days=1, orders=20)
    shop.write(source)
    kept = [word for kind in CLEAR for word in ("--set", f"personal.{kind}=keep")]
    places = ("--source", str(source), "--output", str(output), *kept)
    ask(capsys, *places)
    assert names_in(tmp_path) >= {"Person 3", "person3@example.org", 3}
    before = pl.read_parquet(output / "fact_clickstream/**/*.parquet")
    told = ask(capsys, "forget", "3", *places)
    assert told["removed"] == {"app_user": 1}
    assert names_in(tmp_path) & {"Person 3", "person3@example.org", 3} == set()
    assert {"Person 4", 4} <= names_in(tmp_path)
    sellers = pl.read_parquet(output / "dim_seller/*.parquet").filter(seller_id=203)
    assert sellers.select("user_id", "user_name", "seller_name").rows() == [(None, None, "Shop 3")]
    after = pl.read_parquet(output / "fact_clickstream/**/*.parquet")
    assert len(after) == len(before)
    assert after["user_id"].null_count() == before["user_id"].null_count() + before.filter(user_id=3).height
    ask(capsys, *places)
    assert names_in(tmp_path) & {"Person 3", "person3@example.org", 3} == set()


def names_in(folder: Path) -> set[object]:
    """All people in Parquet files below a folder: names, addresses and ids."""
    found: set[object] = set()
    for path in folder.rglob("*.parquet"):
        for column in {"user_name", "email", "user_id"} & set(pl.read_parquet_schema(path)):
            found.update(pl.read_parquet(path, columns=[column], hive_partitioning=False)[column].unique())
    return found


def test_a_day_with_too_large_a_mean_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    *_, shop = lives(9, days=2, orders=5)
    good = run_day(shop, tmp_path, 2)
    before = files(good.output)
    for line in shop.tables["order_item"]:
        line["base_price"], line["quantity"] = "99999999.00", 9
    shop.write(tmp_path / "source", "03")
    bad = run(tmp_path, as_of=FIRST + dt.timedelta(days=3))
    assert bad.status == "failed"
    assert "at_most:mean_revenue_cents" in str(bad.error)
    assert files(good.output) == before
