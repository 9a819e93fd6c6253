"""The job ``inventory``: against plain SQL, day after day, by its laws, and as a program with its demo."""

import datetime as dt
import json
import math
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from main import main
from pipeline.datasets.days import days_of
from pipeline.datasets.job import JOBS, Job, load_job
from pipeline.datasets.law_check import check_job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.engines.direct import DirectEngine
from pipeline.errors import ConfigError
from tests.jobs.inventory.shop import AS_OF, Shop, changed, oracle, random_line, random_order, random_shop, random_stock
from tests.pipeline.datasets.jobs_for_tests import files, run

COMPARED = {
    "counted_orders": ("order_id", "customer_id", "ordered_at", "day", "hour", "lines", "pieces", "value_cents"),
    "sales_analytics": (), "peak_hours": (), "order_analytics": (), "customer_segments": (),
    "inventory_analytics": (), "warehouse_utilisation": (),
    "turnover": (
        "product_id", "is_known", "locations", "stock_quantity", "stock_value_cents", "pieces", "revenue_cents",
        "window_pieces", "window_revenue_cents", "turnover", "yearly_turnover", "days_of_supply", "reorder_level",
        "optimal_level", "overstock_level", "restock_quantity", "overstock_quantity", "abc_class",
    ),
    "business_insights": (
        "product_id", "product_name", "abc_class", "locations", "locations_to_restock", "stock_quantity",
        "stock_value_cents", "restock_quantity", "overstock_quantity", "lowest_score", "buyers", "pieces",
        "revenue_cents", "vip_revenue_cents", "window_pieces", "turnover", "days_of_supply",
    ),
}  # fmt: skip
"""Tables and those of their columns, in order, that the oracle has; none: all."""


def inventory() -> Job:
    return load_job(str(JOBS / "inventory"))


def published(result: JobResult, table: str) -> pl.DataFrame:
    folder = Path(result.output) / result.tables[table].place
    return pl.read_parquet(folder / "**/*.parquet", hive_partitioning=False)


def differing(found: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Rows that differ, where floats may by a few units of their last place."""
    left, right = (sorted(rows, key=lambda row: [str(value) for value in row[:3]]) for rows in (found, expected))
    if len(left) != len(right):
        return [len(left), len(right)]
    return [
        (one, other) for one, other in zip(left, right, strict=True)
        if not all(_same(a, b) for a, b in zip(one, other, strict=True))
    ]  # fmt: skip


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-9)
    return bool(found == expected)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "zone"), [(1, "America/New_York"), (2, "Pacific/Auckland"), (3, "UTC")])
def test_all_tables_are_those_of_plain_sql(seed: int, zone: str, tmp_path: Path) -> None:
    random_shop(seed).write(tmp_path / "source")
    result = run(inventory(), tmp_path, as_of=AS_OF, settings={"zone": zone})
    assert result.status == "ok", result.error
    base = oracle(tmp_path / "source", zone)
    for table, columns in COMPARED.items():
        expected = base.sql(f"from {table}").fetchall()
        found = published(result, table)
        assert len(expected) > 2, table
        assert differing(found.select(columns or pl.all()).rows(), expected) == [], table
    orders = published(result, "shop_orders")
    if zone != "UTC":
        assert orders.filter(pl.col("day") != pl.col("ordered_at").dt.date()).height > 10
    assert orders["counts"].null_count() > 0
    totals = published(result, "insight_totals")
    assert totals.filter(pl.col("total") != pl.col("expected")).is_empty()
    assert totals["total"].min() > 0, "a sum of nothing proves nothing"


@pytest.mark.slow
def test_what_a_shop_cannot_mean_is_rejected_with_its_reason(tmp_path: Path) -> None:
    shop = Shop(
        customers=[("c1", "", "", "", "")],
        products=[("p1", "Thing", "Home", "2.00", "1.00", "")],
        orders=[("o1", "c1", "2026-06-01 10:00:00", "paid", "2.00", "")],
        order_items=[
            ("i1", "o1", "p1", 1, "2.00", "", ""), ("i2", "o1", "p1", 0, "2.00", "", ""),
            ("i3", "o2", "p1", 1, "2.00", "", ""), ("i4", "o1", "p1", 1, "2.00", "2.01", ""),
        ],
        inventory_locations=[("h1", "Hall", 0)],
        product_inventory=[("p1", "h1", -5, ""), ("p1", "h2", 5, "1970-01-01 00:00:00")],
    )  # fmt: skip
    shop.write(tmp_path / "source")
    result = run(inventory(), tmp_path, as_of=AS_OF)
    quarantine = Path(result.output).resolve().parent / "quarantine"
    rejected = {
        table: set(pl.read_parquet(quarantine / table / "*.parquet").select("check", "key").rows())
        for table in ("order_lines", "stock")
    }
    assert rejected == {
        "order_lines": {
            ("between:quantity", "o1,i2"), ("reference:order_id->shop_orders", "o2,i3"),
            ("expression:discount", "o1,i4"),
        },
        "stock": {("at_least:quantity", "p1,h1")},
    }  # fmt: skip
    rows = published(result, "inventory_analytics").select("quantity", "score", "no_score_reason", "days_since_update")
    assert rows.rows() == [(5, None, "unknown location", (AS_OF - dt.datetime(1970, 1, 1)).days)]
    halls = published(result, "warehouse_utilisation").sort("location_id").select("products", "no_score_reason")
    assert halls.rows() == [(0, "capacity is not positive"), (1, "unknown location")]


def two_orders(lines: Sequence[tuple[Any, ...]]) -> Shop:
    """A shop with the paid orders o1 and o2, and these lines: id, order, pieces at 2.00 and time of the last change."""
    orders = [(order, "c1", "2026-06-01 10:00:00", "paid", "", "") for order in ("o1", "o2")]
    items = [(line, order, "p1", pieces, "2.00", "", changed) for line, order, pieces, changed in lines]
    return Shop(orders=orders, order_items=items)


def test_a_line_that_moved_to_another_order_counts_once(tmp_path: Path) -> None:
    asked = {"as_of": AS_OF, "only": ("counted_lines",)}
    moved = [("i1", "o2", 1, "2026-06-01 00:00:00"), ("i1", "o1", 5, "2026-06-02 00:00:00"), ("i2", "o2", 1, ""),
             ("i3", "o2", 1, "")]  # fmt: skip
    two_orders(moved).write(tmp_path / "source")
    found = published(run(inventory(), tmp_path, **asked), "counted_lines")
    columns = ("order_item_id", "order_id", "quantity")
    assert found.select(columns).rows() == [("i1", "o1", 5), ("i2", "o2", 1), ("i3", "o2", 1)]


def test_lines_that_each_order_numbers_anew_are_refused_until_the_settings_say_so(tmp_path: Path) -> None:
    asked = {"as_of": AS_OF, "only": ("counted_lines",)}
    two_orders([(line, order, 1, "") for line in "123" for order in ("o1", "o2")]).write(tmp_path / "source")
    refused = run(inventory(), tmp_path, **asked)
    assert refused.status == "failed"
    assert "shop_lines" in str(refused.error)
    assert "moved_lines" in str(refused.error)
    result = run(inventory(), tmp_path, settings={"lines_numbered_by": "order"}, **asked)
    assert len(published(result, "counted_lines")) == 6


def test_orders_whose_status_nobody_declared_are_refused_until_the_settings_say_so(tmp_path: Path) -> None:
    shop = two_orders([("i1", "o1", 1, ""), ("i2", "o2", 2, "")])
    shop.orders = [(order, "c1", "2026-06-01 10:00:00", "", "", "") for order in ("o1", "o2")]
    shop.write(tmp_path / "source")
    asked = {"as_of": AS_OF, "only": ("counted_lines",)}
    refused = run(inventory(), tmp_path, **asked)
    assert refused.status == "failed"
    assert "status_in_settings" in str(refused.error)
    result = run(inventory(), tmp_path, settings={"counted_statuses": "none"}, **asked)
    assert published(result, "counted_lines")["quantity"].sum() == 3
    mixed = [*shop.orders[:1], *((f"o{at}", "c1", "2026-06-01 10:00:00", "paid", "", "") for at in (2, 3))]
    Shop(orders=mixed).write(tmp_path / "source")
    result = run(inventory(), tmp_path, output=str(tmp_path / "mixed"), **asked)
    assert result.status == "ok"
    assert published(result, "shop_orders")["counts"].to_list() == [None, True, True]


@pytest.mark.slow
def test_all_data_sets_keep_the_laws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_shop(4).write(tmp_path / "source")
    assert run(inventory(), tmp_path, as_of=AS_OF).status == "ok"
    monkeypatch.setattr("pipeline.datasets.law_check.open_engine", lambda *_: nullcontext(DirectEngine()))
    options = JobOptions(str(tmp_path / "source"), str(tmp_path / "output"))
    laws = check_job(inventory(), Config(ENGINE="polars"), options, NullProgress())
    assert {law.table for law in laws} == set(inventory().datasets)
    assert [law for law in laws if law.broken] == []


def next_day(shop: Shop, dice: random.Random, day: int) -> None:
    """New and late orders, corrected, repeated and deleted rows, and stock that was counted again."""
    people, things, halls = ([f"{kind}{number}" for number in range(9)] for kind in "cph")
    fresh = [random_order(dice, f"n{day}-{number}", people) for number in range(3)]
    shop.orders = [row for row in shop.orders if dice.random() > 0.01] + fresh
    at = dice.randrange(len(shop.orders))
    order = shop.orders[at]
    shop.orders[at] = (*order[:3], dice.choice(("cancelled", "paid")), order[4], changed(dice))
    shop.order_items += [random_line(dice, f"n{day}-{row[0]}", row[0], things) for row in fresh * 2]
    shop.order_items += dice.sample(shop.order_items, 2)
    del shop.order_items[dice.randrange(len(shop.order_items))]
    shop.product_inventory += [random_stock(dice, dice.choice(things), dice.choice(halls)) for _ in range(day % 3)]
    if day % 4 == 0:
        shop.customers.append((f"c{20 + day}", "", "Oslo", "NO", ""))
        shop.inventory_locations.append((f"h{20 + day}", "", 100 * day))


@pytest.mark.slow
def test_ten_days_are_as_if_each_were_made_alone(tmp_path: Path) -> None:
    """Some of the days are made alone, too: each day goes on from the one before."""
    dice, shop, counted = random.Random(5), random_shop(5), []
    alone: dict[str, Mapping[str, bytes]] = {}
    for day in range(10):
        shop.write(tmp_path / "source")
        as_of = AS_OF + dt.timedelta(days=day)
        result = run(inventory(), tmp_path, as_of=as_of)
        assert result.status == "ok", result.error
        if day in (2, 5, 9):
            made = run(inventory(), tmp_path, as_of=as_of, output=str(tmp_path / f"alone-{day}"))
            alone[str(made.day)] = files(f"{made.output}/{made.day}")
            assert len(alone[str(made.day)]) == 9
            for folder in (str(made.day), "silver"):
                assert files(f"{result.output}/{folder}") == files(f"{made.output}/{folder}"), day
        counted.append(result.tables["counted_lines"].recomputed)
        next_day(shop, dice, day)
    assert days_of(Path(result.output)) == [f"2026-06-{15 + day}" for day in range(10)]
    assert 0 < max(counted[1:]) < counted[0] / 2, "lines of orders without news are not computed again"
    assert {day: files(f"{result.output}/{day}") for day in alone} == alone, "days before stay as they were made"


@pytest.mark.slow
def test_the_demo_is_as_its_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["job", "inventory", "--json", "--engine", "polars"]) == 0
    told = capsys.readouterr()
    (line,) = (line for line in told.err.splitlines() if "mariadb" in line)
    assert "apt install mariadb-server" in line
    assert "--source mysql://USER@HOST/DATABASE" in line
    found = json.loads(told.out)
    assert (found["status"], found["truth"]) == ("ok", [])
    day = tmp_path / "pipeline_data/jobs/inventory/business_insights" / found["day"]
    assert sorted(path.name for path in day.iterdir()) == [
        "business_insights", "customer_segments", "insight_totals", "inventory_analytics", "order_analytics",
        "peak_hours", "sales_analytics", "turnover", "warehouse_utilisation",
    ]  # fmt: skip
    assert list(day.glob("inventory_analytics/part-*.parquet"))
    assert main(["job", "inventory", "status"]) == 0
    assert f"{found['day']}, of 1 day from {found['day']} to {found['day']}" in capsys.readouterr().out
    assert main(["job", "inventory", "query", "from stock_by_location limit 1", "--json", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zone": "Europe/Nowhere"}, "zone is 'Europe/Nowhere', expected one such as Europe/Berlin"),
        ({"other_statuses": "paid"}, "both name paid"),
        ({"lines_numbered_by": "day"}, "lines_numbered_by is 'day', expected shop or order"),
        ({"window_days": 0}, "window_days is 0, expected 1 or more"),
        ({"target_days": 7}, "reorder_days, target_days, overstock_days are .14, 7, 90., expected ascending"),
        ({"b_points": 10_001}, "b_points is 10001, expected 10000 at most"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        inventory().with_settings(settings)
