"""The job ``warehouse`` against plain SQL on DuckDB, which was written from the rules and not from the transforms."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from main import main
from pipeline.datasets.job import JOBS, load_job
from pipeline.errors import ConfigError

ORDERS = ("order_id", "customer_id", "product_id", "quantity", "unit_price", "order_date", "payment_type", "discount")
PAYMENTS = ("payment_id", "order_id", "payment_method", "payment_amount", "payment_date", "payment_status")
CUSTOMERS = (
    *("customer_id", "customer_name", "email", "phone", "address", "city", "state", "zip_code", "age"),
    "registration_date",
)
PRODUCTS = ("product_id", "product_name", "category", "subcategory", "brand", "price", "cost", "description")

STAGING = """
create macro day_of(text) as coalesce(
    try_strptime(text, '%Y-%m-%d'), try_strptime(text, '%m/%d/%Y'), try_strptime(text, '%m-%d-%Y'))::date;
create macro cents(text) as round(text::decimal(20, 6) * 100)::bigint;
create table orders as
    select * from read_csv('{folder}/orders.csv', header = true, all_varchar = true, nullstr = '');
create table payments as
    select * from read_csv('{folder}/payments.csv', header = true, all_varchar = true, nullstr = '');
create table customers as
    select * from read_csv('{folder}/customers.csv', header = true, all_varchar = true, nullstr = '');
create table products as
    select * from read_csv('{folder}/products.csv', header = true, all_varchar = true, nullstr = '');
create table lines as
    select * exclude (place) from (
        select *, row_number() over (partition by order_id, product_id order by
            customer_id desc nulls last, day desc nulls last, quantity desc nulls last, price desc nulls last,
            discount desc nulls last, payment_type desc nulls last) as place
        from (
            select order_id, product_id, customer_id, day_of(order_date) as day, quantity::bigint as quantity,
                   cents(unit_price) as price, cents(discount) as discount, payment_type
            from orders where order_date is null or day_of(order_date) is not null))
    where place = 1 and day is not null and quantity > 0 and price > 0 and coalesce(discount, 0) >= 0
      and coalesce(discount, 0) <= quantity * price;
create table paid as
    select * exclude (place) from (
        select *, row_number() over (partition by payment_id order by
            order_id desc nulls last, payment_method desc nulls last, amount desc nulls last, day desc nulls last,
            payment_status desc nulls last) as place
        from (select payment_id, order_id, payment_method, cents(payment_amount) as amount,
                     day_of(payment_date) as day, payment_status from payments))
    where place = 1 and day is not null and amount > 0;
"""
SALES = """
with come as (
    select order_id, sum(amount) as amount from paid where lower(payment_status) in ('completed', 'paid') group by all),
total as (
    select order_id, sum(quantity * price - coalesce(discount, 0)) as net from lines group by all)
select l.order_id, coalesce(l.product_id, '?') as product_id, coalesce(l.customer_id, '?') as customer_id,
       year(day) * 10000 + month(day) * 100 + day(day) as date_key, quantity, l.price,
       quantity * l.price - coalesce(discount, 0) as net, quantity * cents(p.cost) as cost,
       case when c.amount is null then 'unpaid' when c.amount >= t.net then 'paid' else 'partly paid' end as status
from lines l
join total t using (order_id)
left join come c using (order_id)
left join products p on p.product_id = l.product_id
order by all
"""
FEES = """
with named as (
    select *, case when lower(payment_method) in ('cc', 'visa', 'credit_card') then 'Credit Card'
                   when lower(payment_method) in ('pp', 'paypal') then 'PayPal'
                   when lower(payment_method) in ('cod', 'cash') then 'Cash'
                   when payment_method is null then 'Unknown' else 'Store Credit' end as method,
           lower(payment_status) in ('completed', 'paid') as counts
    from paid)
select payment_id, order_id, method, amount,
       case when not coalesce(counts, false) then 0 when method = 'Credit Card' then (amount * 290 + 5000) // 10000
            when method = 'PayPal' then (amount * 340 + 5000) // 10000 else 0 end as fee
from named order by all
"""


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON object of ``job warehouse``, which must end well."""
    capsys.readouterr()
    code = main(["job", "warehouse", *words, "--engine", "polars", "--json", "--quiet"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 0, found
    return found


def write(folder: Path, name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def write_shop(folder: Path, seed: int, orders: int = 150) -> None:
    """A small and dirty shop: ties, copies, missing and wrong values, unheard customers and products."""
    dice = random.Random(seed)
    people = [f"c{number}" for number in range(12)]
    things = [f"p{number}" for number in range(9)]

    def day() -> str:
        year, month, number = dice.choice((2024, 2025, 2026)), dice.randint(1, 12), dice.randint(1, 28)
        form = dice.choice(("{0}-{1:02d}-{2:02d}", "{1:02d}/{2:02d}/{0}", "{1:02d}-{2:02d}-{0}"))
        return form.format(year, month, number)

    lines = [
        (
            f"o{dice.randrange(orders)}", dice.choice([*people, "heard-of", ""]), dice.choice([*things, "unseen", ""]),
            dice.choice((1, 2, 3, 0, -1, "")), dice.choice(("9.99", "10.005", "0.00", "", "1200")),
            dice.choice((day(), day(), day(), "", "31/31/2026")), dice.choice(("cc", "")),
            dice.choice(("", "", "1.50", "99999")),
        )
        for _ in range(orders * 3)
    ]  # fmt: skip
    write(folder, "orders", ORDERS, [*lines, *lines[:40]])
    payments = [
        (
            f"x{dice.randrange(orders * 2)}", f"o{dice.randrange(orders + 9)}",
            dice.choice(("cc", "VISA", "Credit_Card", "pp", "PayPal", "cod", "store-credit", "")),
            dice.choice(("9.99", "0.50", "25.13", "0", "")), dice.choice((day(), day(), "")),
            dice.choice(("completed", "Paid", "failed", "")),
        )
        for _ in range(orders * 2)
    ]  # fmt: skip
    write(folder, "payments", PAYMENTS, payments)
    write(folder, "customers", CUSTOMERS, [(one, one.upper(), "", "", "a\nb", "", "", "", 40, "") for one in people])
    write(folder, "products", PRODUCTS, [(one, one, "Home", "", "", "12.00", "7.31", "") for one in things])


def oracle(folder: Path) -> duckdb.DuckDBPyConnection:
    """The shop as DuckDB reads it: the tables ``lines`` and ``paid``."""
    base = duckdb.connect()
    base.execute(STAGING.format(folder=folder))
    return base


def published(table: str) -> pl.DataFrame:
    return pl.read_parquet(f"pipeline_data/jobs/warehouse/output/{table}/**/*.parquet", hive_partitioning=False)


def sales_with_names() -> pl.DataFrame:
    """The facts of sales with the ids of their members instead of keys; -1 stands for ``?``."""
    people = published("dim_customer").select("customer_key", pl.col("customer_id").fill_null("?"))
    things = published("dim_product").select("product_key", pl.col("product_id").fill_null("?"))
    return (
        published("fact_sales")
        .join(people, on="customer_key", how="inner", validate="m:1")
        .join(things, on="product_key", how="inner", validate="m:1")
        .select(
            "order_id", "product_id", "customer_id", "date_key", "quantity", "unit_price_cents", "net_cents",
            "cost_cents", "payment_status",
        )
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_facts_are_those_of_plain_sql(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shop(tmp_path / "shop", seed)
    run(capsys, "--source", "shop", "--set", "max_null_share=1.0")
    base = oracle(tmp_path / "shop")
    expected = base.sql(SALES).fetchall()
    assert len(expected) > 50
    assert sorted(sales_with_names().rows(), key=str) == sorted(expected, key=str)
    fees = published("fact_payments").select("payment_id", "order_id", "method", "amount_cents", "fee_cents")
    assert sorted(fees.rows(), key=str) == sorted(base.sql(FEES).fetchall(), key=str)
    months = base.sql(
        f"select date_key // 10000, date_key // 100 % 100, count(distinct order_id), sum(quantity), sum(net) "
        f"from ({SALES}) group by all order by all"
    ).fetchall()
    assert (
        published("monthly_sales")
        .sort("year", "month")
        .select("year", "month", "orders", "quantity", "net_cents")
        .rows()
        == months
    )
    people = base.sql(
        "select customer_id, count(distinct order_id), sum(net), min(date_key), max(date_key) "
        f"from ({SALES}) group by all"
    ).fetchall()
    found = published("customer_metrics").select(
        pl.col("customer_id").fill_null("?"), "orders", "net_cents", "first_order", "last_order"
    )
    assert sorted(found.rows()) == sorted(people)
    things = base.sql(
        f"select product_id, count(distinct order_id), sum(quantity) from ({SALES}) group by all"
    ).fetchall()
    sold = published("product_performance").select(pl.col("product_id").fill_null("?"), "orders", "quantity")
    assert sorted(sold.rows()) == sorted(things)


@pytest.mark.slow
def test_the_demo_is_as_its_truth_and_keeps_the_laws(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys)
    assert (found["status"], found["truth"]) == ("ok", [])
    filled = {name: table["filled"] for name, table in found["tables"].items() if table["filled"]}
    lines = found["tables"]["order_lines"]
    assert filled["order_lines"]["discount_cents"] == lines["rows"] + lines["rejected"]  # the demo has no discounts
    told = run(capsys, "status")["tables"]
    assert {name: table["filled"] for name, table in told.items() if table["filled"]} == filled
    laws = run(capsys, "check")
    assert laws["broken"] == 0, laws


@pytest.mark.slow
def test_another_day_is_as_if_all_had_come_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Late lines, corrected ones and further payments."""
    shop = tmp_path / "shop"
    write_shop(shop, 3)
    with (shop / "orders.csv").open(encoding="utf-8") as stream:
        every = list(csv.reader(stream))[1:]
    share = ("--set", "max_null_share=1.0")
    write(shop, "orders", ORDERS, every[:300])
    run(capsys, "--source", "shop", *share)
    write(shop, "orders", ORDERS, every)
    run(capsys, "--source", "shop", *share)
    second = {table: published(table) for table in ("fact_sales", "monthly_sales", "customer_metrics", "dim_customer")}
    run(capsys, "--source", "shop", "--full-refresh", *share)
    for table, rows in second.items():
        found = published(table)
        assert [name for name in rows.columns if not found[name].equals(rows[name])] == [], table
    assert sorted(sales_with_names().rows(), key=str) == sorted(oracle(shop).sql(SALES).fetchall(), key=str)


@pytest.mark.slow
def test_corrections_in_further_files_count_whenever_the_files_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a line, and of a payment, that several files have, that of the last file by name counts."""
    shop = tmp_path / "shop"
    write_shop(shop, 4, orders=5)
    for number in (2, 1, 3):  # the first file comes late
        line = ("o", "c1", "p1", 10 - number, "2.00", "2026-01-01", "cc", "")
        write(shop, f"orders_{number}", ORDERS, [line, (f"o{number}", *line[1:])])
        write(shop, f"payments_{number}", PAYMENTS, [("x", "o", "cc", f"{10 - number}.00", "2026-01-02", "paid")])
        run(capsys, "--source", "shop", "--set", "max_null_share=1.0")
    tables = ("fact_sales", "fact_payments", "order_conflicts", "monthly_sales")
    daily = {table: published(table) for table in tables}
    assert daily["fact_sales"].filter(order_id="o")["quantity"].to_list() == [7]
    assert daily["fact_payments"].filter(payment_id="x")["amount_cents"].to_list() == [700]
    lost = daily["order_conflicts"].filter(order_id="o", product_id="p1")["quantity"].sort().to_list()
    assert lost == [8, 9]
    run(capsys, "--source", "shop", "--set", "max_null_share=1.0", "--full-refresh")
    for table in tables:
        assert published(table).equals(daily[table]), table


@pytest.mark.slow
def test_who_becomes_a_better_customer_changes_no_earlier_sale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = tmp_path / "shop"
    write_shop(shop, 3)
    share = ("--set", "max_null_share=1.0")
    run(capsys, "--source", "shop", *share)
    before = published("dim_customer").filter("is_current", pl.col("customer_id").is_not_null())
    who = before.filter(pl.col("segment") != "vip")["customer_id"].sort()[0]
    write(shop, "orders_2", ORDERS, [("further", who, "new", 500, "9.00", "2026-01-01", "cc", "")])
    found = run(capsys, "--source", "shop", *share)
    assert published("dim_customer").filter(customer_id=who, is_current=True)["segment"].to_list() == ["vip"]
    assert found["tables"]["fact_sales"]["recomputed"] == 1


def checks_of(found: dict[str, Any], table: str) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in found["checks"] if check["table"] == table}


@pytest.mark.slow
def test_a_missing_price_is_the_median_of_its_product_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the product has no other price, or the discount is larger than what comes out, the line is rejected."""
    write_shop(tmp_path / "shop", 4)
    lines = [
        ("a", "p1", "1.00", ""), ("b", "p1", "3.00", ""), ("c", "p1", "9.00", ""), ("d", "p1", "", ""),
        ("e", "p1", "", "6.01"), ("f", "p2", "", ""),
    ]  # fmt: skip
    rows = [(order, "c1", product, 2, price, "2026-01-01", "cc", discount) for order, product, price, discount in lines]
    write(tmp_path / "shop", "orders", ORDERS, rows)
    found = run(capsys, "--source", "shop", "--set", "missing_price=fill_median", "--set", "max_null_share=1.0")
    facts = published("fact_sales").sort("order_id").select("order_id", "unit_price_cents", "price_filled", "net_cents")
    assert facts.rows() == [
        ("a", 100, False, 200),
        ("b", 300, False, 600),
        ("c", 900, False, 1800),
        ("d", 300, True, 600),
    ]
    broken = {name: check["broken"] for name, check in checks_of(found, "fact_sales").items() if check["broken"]}
    assert broken == {"expression:discount": 1, "not_null:unit_price_cents": 1}
    assert found["tables"]["fact_sales"]["rejected"] == 2


@pytest.mark.slow
def test_an_amount_beyond_64_bits_is_rejected_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shop(tmp_path / "shop", 4)
    rows = [("a", "c1", "p1", 2**32, "42949672.96"), ("b", "c1", "p1", 2, "3.00")]  # 2^64 cents wrap to 0
    write(tmp_path / "shop", "orders", ORDERS, [(*row, "2026-01-01", "cc", "") for row in rows])
    found = run(capsys, "--source", "shop", "--set", "max_null_share=1.0")
    assert published("fact_sales").select("order_id", "gross_cents").rows() == [("b", 600)]
    assert checks_of(found, "order_lines")["expression:amount_fits"]["broken"] == 1
    assert found["tables"]["order_lines"]["rejected"] == 1


@pytest.mark.slow
def test_shares_of_kept_nulls_and_of_unknown_members_are_those_of_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(tmp_path / "shop", 4)
    who = [*[""] * 2, *["ghost"] * 3, *["c1"] * 5]
    rows = [(f"o{at}", one, "p1", 1, "3.00", "2026-01-01", "cc", "") for at, one in enumerate(who)]
    write(tmp_path / "shop", "orders", ORDERS, rows)
    write(tmp_path / "shop", "payments", PAYMENTS, [("x", "o1", "cc", "1.00", "2026-01-02", "paid")])
    checks = checks_of(run(capsys, "--source", "shop", "--set", "max_null_share=0.19"), "order_lines")
    kept, unknown = checks["not_null:customer_id"], checks["reference:customer_id->customers"]
    assert (kept["broken"], kept["of"], kept["outcome"]) == (2, 10, "warn")
    assert (unknown["broken"], unknown["of"], unknown["outcome"]) == (3, 10, "warn")
    assert checks["reference:product_id->products"]["outcome"] == "ok"
    words = ("--set", "max_null_share=0.2", "--set", "max_orphan_share=0.3")
    checks = checks_of(run(capsys, "--source", "shop", *words), "order_lines")
    assert [checks[name]["outcome"] for name in ("not_null:customer_id", "reference:customer_id->customers")] == [
        "ok", "ok",
    ]  # fmt: skip


@pytest.mark.slow
def test_contents_that_do_not_count_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = tmp_path / "shop"
    write_shop(shop, 4)
    first, second = (("x", "o1", "cc", amount, "2026-01-01", "paid") for amount in ("1.00", "2.00"))
    write(shop, "payments", PAYMENTS, [first, second, first])
    people = [("c1", "Ann", "", "", "", "", "", "", age, "") for age in (20, 99, 20)]
    write(shop, "customers", CUSTOMERS, people)
    write(shop, "products", PRODUCTS, [("p1", "Mill", "Home", "", "", price, "1.00", "") for price in ("2.00", "3.00")])
    run(capsys, "--source", "shop", "--set", "max_null_share=1.0")
    assert published("payment_conflicts").select("payment_id", "amount_cents").rows() == [("x", 100)]
    assert published("customer_conflicts").select("customer_id", "age").rows() == [("c1", 20)]
    assert published("product_conflicts").select("product_id", "price_cents").rows() == [("p1", 200)]
    ages = published("dim_customer").filter(pl.col("customer_id") == "c1")["age"].to_list()
    assert ages == [99]


@pytest.mark.slow
def test_a_payment_counts_by_the_status_that_fills_a_missing_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(tmp_path / "shop", 4)
    write(tmp_path / "shop", "orders", ORDERS, [("o1", "c1", "p1", 1, "20.00", "2026-01-01", "cc", "")])
    write(tmp_path / "shop", "payments", PAYMENTS, [("x", "o1", "cc", "20.00", "2026-01-02", "")])
    words = ("--source", "shop", "--set", "max_null_share=1.0")
    run(capsys, *words)
    assert published("fact_payments").select("status", "counts", "fee_cents").rows() == [("unknown", False, 0)]
    run(capsys, *words, "--set", "missing_status=fill:completed")
    assert published("fact_payments").select("status", "counts", "fee_cents").rows() == [("completed", True, 58)]
    assert published("fact_sales")["payment_status"].to_list() == ["paid"]


@pytest.mark.slow
def test_rates_of_fees_may_spell_methods_as_payments_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shop(tmp_path / "shop", 4)
    write(tmp_path / "shop", "payments", PAYMENTS, [("x", "o1", "Credit_Card", "10.00", "2026-01-02", "paid")])
    write(tmp_path / "shop", "fee_rates", ("method", "valid_from", "fee_points"), [("cc", "2026-01-01", 500)])
    run(capsys, "--source", "shop", "--set", "max_null_share=1.0")
    assert published("fact_payments").select("method", "fee_cents").rows() == [("Credit Card", 50)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "rejected", "dropped", "outcome"), [((), 1, 0, "reject"), (("--set", "missing_price=drop"), 0, 1, "drop")]
)
def test_a_missing_price_counts_as_missing_and_not_as_wrong(
    words: Sequence[str],
    rejected: int,
    dropped: int,
    outcome: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_shop(tmp_path / "shop", 4, orders=20)
    rows = [(order, "c1", "p1", 2, price, "2026-01-01", "cc", "") for order, price in (("a", "1.00"), ("b", ""))]
    write(tmp_path / "shop", "orders", ORDERS, rows)
    found = run(capsys, "--source", "shop", "--set", "max_null_share=1.0", *words)
    checks = {check["check"]: check for check in found["checks"] if check["table"] == "order_lines"}
    missing = checks["not_null:unit_price_cents"]
    assert (missing["broken"], missing["of"], missing["outcome"]) == (1, 2, outcome)
    assert missing["dimension"] == "completeness"
    assert checks["at_least:unit_price_cents"]["broken"] == 0
    table = found["tables"]["order_lines"]
    assert (table["rows"], table["rejected"], table["dropped"]) == (1, rejected, dropped)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("missing_price", "keep", "missing_price is 'keep', expected one of fill_median, drop, quarantine"),
        ("missing_quantity", "fill:many", "expected one of fill:NUMBER, drop, quarantine"),
        ("missing_customer", "fill", "expected one of keep, fill:TEXT, drop, quarantine"),
        ("missing_customer", "keep:x", "expected one of keep"),
        ("fiscal_start", 13, "fiscal_start is 13, expected a month from 1 to 12"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: str, value: str | int, message: str) -> None:
    job = load_job(str(JOBS / "warehouse"))
    job.with_settings({"missing_customer": "fill:nobody", "missing_quantity": "fill:1", "missing_discount": "drop"})
    with pytest.raises(ConfigError, match=message):
        job.with_settings({setting: value})
