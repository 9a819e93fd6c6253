"""The star schema of the job ``warehouse`` as SQL, which DuckDB and Spark understand alike, but for ``Dialect``.

Each table is one SELECT; ``{orders}`` and ``{payments}`` stand for rows of the files as text. The statements do what
the shop of ``shop.py`` needs and no more: one version of each customer and product, no quarantine, no checks.
"""

from dataclasses import dataclass

STATUSES = "('completed', 'complete', 'paid', 'success', 'succeeded')"

ORDER_LINES = """
select order_id, product_id, 0 as line_number, customer_id, day, quantity, unit_price_cents, payment_type
from (
    select *, row_number() over (partition by order_id, product_id order by file desc, customer_id desc, day desc,
                                 quantity desc, unit_price_cents desc, payment_type desc) as place
    from (select file, order_id, product_id, customer_id, day_of(order_date) as day,
                 cast(quantity as bigint) as quantity, cents_of(unit_price) as unit_price_cents, payment_type
          from {orders}) typed) numbered
where place = 1 and day is not null and quantity > 0 and unit_price_cents > 0
"""
CLEAN_PAYMENTS = f"""
select payment_id, order_id, method_of(payment_method) as method, amount_cents, day, lower(payment_status) as status,
       lower(payment_status) in {STATUSES} as counts
from (
    select *, row_number() over (partition by payment_id order by file desc, order_id desc, payment_method desc,
                                 amount_cents desc, day desc, payment_status desc) as place
    from (select file, payment_id, order_id, payment_method, cents_of(payment_amount) as amount_cents,
                 day_of(payment_date) as day, payment_status
          from {{payments}}) typed) numbered
where place = 1 and day is not null and amount_cents > 0
"""
DIM_CUSTOMER = """
select key_of(coalesce(c.customer_id, s.customer_id)) as customer_key,
       coalesce(c.customer_id, s.customer_id) as customer_id, customer_name, email, phone, address,
       coalesce(city, 'Unknown') as city, state, zip_code, years as age,
       case when years < 18 then 'under 18' when years < 25 then '18-24' when years < 35 then '25-34'
            when years < 45 then '35-44' when years < 55 then '45-54' when years < 65 then '55-64'
            else '65 and over' end as age_band,
       day_of(registration_date) as registered_on,
       case when s.customer_id = '?' then 'none' when spent >= 100000 then 'vip' when spent >= 20000 then 'regular'
            when spent is not null then 'occasional' else 'none' end as segment,
       c.customer_id is null as is_inferred
from (select *, cast(age as bigint) as years from {customers} files) c
full join (select coalesce(customer_id, '?') as customer_id, sum(quantity * unit_price_cents) as spent
           from {order_lines} group by coalesce(customer_id, '?')) s on s.customer_id = c.customer_id
"""
DIM_PRODUCT = """
select key_of(product_id) as product_key, product_id, product_name, category, subcategory, brand, price_cents,
       cost_cents, case when price_cents >= 10000 then 'premium' when price_cents >= 2000 then 'mid' else 'budget' end
       as price_class, floor((price_cents - cost_cents) * 10000 / price_cents) as margin_points
from (select *, cents_of(price) as price_cents, cents_of(cost) as cost_cents from {products}) typed
"""
DIM_DATE = """
select number_of(day) as date_key, day, year(day) as year, quarter(day) as quarter, month(day) as month,
       day(day) as day_of_month, dayofyear(day) as day_of_year, weekofyear(day) as iso_week
from {days} calendar
"""
FACT_SALES = """
select l.order_id, l.line_number, number_of(l.day) as date_key, key_of(coalesce(l.customer_id, '?')) as customer_key,
       key_of(l.product_id) as product_key, l.quantity, l.unit_price_cents,
       l.quantity * l.unit_price_cents as net_cents,
       l.quantity * p.cost_cents as cost_cents, l.quantity * (l.unit_price_cents - p.cost_cents) as profit_cents,
       l.payment_type,
       case when c.paid is null then 'unpaid'
            when c.paid >= sum(l.quantity * l.unit_price_cents) over (partition by l.order_id) then 'paid'
            else 'partly paid' end as payment_status,
       year(l.day) as year, month(l.day) as month
from {order_lines} l
left join (select order_id, sum(amount_cents) as paid from {clean_payments} where counts group by order_id) c
       on c.order_id = l.order_id
left join {dim_product} p on p.product_id = l.product_id
"""
FACT_PAYMENTS = """
select payment_id, order_id, number_of(day) as date_key, method, status, counts, amount_cents,
       case when counts then cast(floor((amount_cents * case method when 'Credit Card' then 290 when 'PayPal' then 340
            else 0 end + 5000) / 10000) as bigint) else 0 end as fee_cents, year(day) as year, month(day) as month
from {clean_payments} paid
"""
SOLD = """count(distinct order_id) as orders, cast(sum(quantity) as bigint) as quantity,
       cast(sum(net_cents) as bigint) as net_cents, cast(sum(profit_cents) as bigint) as profit_cents"""
MONTHLY_SALES = f"""
select year, month, {SOLD}, count(distinct customer_key) as customers from {{fact_sales}} sales group by year, month
"""
CUSTOMER_METRICS = f"""
select f.customer_key, c.customer_id, c.segment, c.city, f.orders, f.quantity, f.net_cents, f.profit_cents,
       f.first_order, f.last_order
from (select customer_key, {SOLD}, min(date_key) as first_order, max(date_key) as last_order
      from {{fact_sales}} sales group by customer_key) f
left join {{dim_customer}} c on c.customer_key = f.customer_key
"""
PRODUCT_PERFORMANCE = f"""
select f.product_key, p.product_id, p.product_name, p.category, f.orders, f.quantity, f.net_cents, f.profit_cents,
       f.first_sold, f.last_sold
from (select product_key, {SOLD}, min(date_key) as first_sold, max(date_key) as last_sold
      from {{fact_sales}} sales group by product_key) f
left join {{dim_product}} p on p.product_key = f.product_key
"""
TABLES = {
    "order_lines": ORDER_LINES, "clean_payments": CLEAN_PAYMENTS, "dim_customer": DIM_CUSTOMER,
    "dim_product": DIM_PRODUCT, "dim_date": DIM_DATE, "fact_sales": FACT_SALES, "fact_payments": FACT_PAYMENTS,
    "monthly_sales": MONTHLY_SALES, "customer_metrics": CUSTOMER_METRICS, "product_performance": PRODUCT_PERFORMANCE,
}  # fmt: skip
"""In the order in which they are made."""
LOADED = {
    "order_lines": ("order_id", "product_id"), "clean_payments": ("payment_id",), "fact_sales": ("order_id",),
    "fact_payments": ("payment_id",),
}  # fmt: skip
"""Tables of which a later load replaces rows by these columns; the others are made again of them."""
NEW_FACTS = {
    "fact_sales": "where l.order_id in (select order_id from {affected} affected)",
    "fact_payments": "where payment_id in (select payment_id from {payments} new_payments)",
}
"""What a later load adds to the SELECT of a fact."""
AFFECTED = "(select order_id from {orders} union select order_id from {payments})"
PARTITIONED = ("fact_sales", "fact_payments")

METHOD = """case when lower(text) in ('cc', 'credit_card', 'visa') then 'Credit Card'
    when lower(text) in ('pp', 'paypal') then 'PayPal' when lower(text) = 'cod' then 'Cash' else 'Unknown' end"""
NUMBER = "cast(year(day) * 10000 + month(day) * 100 + day(day) as bigint)"


@dataclass(frozen=True)
class Dialect:
    """What an engine calls otherwise: statements that define ``day_of``, ``cents_of``, ``method_of``, ``number_of`` and
    ``key_of``, and the rows of ``days`` of a calendar."""

    functions: tuple[str, ...]
    days: str


DUCKDB = Dialect(
    (
        "create or replace macro day_of(text) as try_strptime(text, ['%Y-%m-%d', '%m/%d/%Y', '%m-%d-%Y'])::date",
        "create or replace macro cents_of(text) as (text::decimal(18, 2) * 100)::bigint",
        f"create or replace macro method_of(text) as {METHOD}",
        f"create or replace macro number_of(day) as {NUMBER}",
        "create or replace macro key_of(text) as (hash(text) >> 1)::bigint",
    ),
    "(select unnest(generate_series(date '2024-01-01', date '2026-12-31', interval 1 day))::date as day)",
)
SPARK = Dialect(
    (
        "create temporary function day_of(text string) returns date return coalesce("
        "try_to_date(text, 'yyyy-MM-dd'), try_to_date(text, 'MM/dd/yyyy'), try_to_date(text, 'MM-dd-yyyy'))",
        "create temporary function cents_of(text string) returns bigint return "
        "cast(cast(text as decimal(18, 2)) * 100 as bigint)",
        f"create temporary function method_of(text string) returns string return {METHOD}",
        f"create temporary function number_of(day date) returns bigint return {NUMBER}",
        "create temporary function key_of(text string) returns bigint return xxhash64(text)",
    ),
    "(select explode(sequence(date '2024-01-01', date '2026-12-31', interval 1 day)) as day)",
)


def text_rows(source: str) -> str:
    """Rows of CSV files as text in DuckDB, with their ``file``; an empty field is null."""
    return (
        f"(select *, filename as file from read_csv('{source}', header = true, all_varchar = true, nullstr = '', "
        "filename = true, union_by_name = true))"
    )
