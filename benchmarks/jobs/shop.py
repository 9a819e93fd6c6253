"""Makes the files of an online shop: any number of order lines, and a change of them, the same on every machine."""

from pathlib import Path

import duckdb

DAYS = 730
PRODUCTS = 5_000
LINES_OF_AN_ORDER = 2.5
CHANGED = 100
"""One order in so many is changed."""

_MACROS = """
create macro pick(seed, number, most) as (hash(number * 1009 + seed) % most)::bigint;
create macro shown(day, form) as case form when 0 then strftime(day, '%Y-%m-%d')
    when 1 then strftime(day, '%m/%d/%Y') else strftime(day, '%m-%d-%Y') end;
create macro money(cents) as printf('%d.%02d', cents // 100, cents % 100);
create macro price(product) as 300 + pick(1, product, 30000);
"""
_ORDERS = """
select 'O' || o as order_id,
       case when pick(2, o, 100) = 0 then '' else 'C' || pick(3, o, {customers}) end as customer_id,
       'P' || product as product_id, quantity,
       case when pick(4, o * 5 + nth, 500) = 0 then '' else money(price(product)) end as unit_price,
       shown({day}, pick(6, o, 3)) as order_date, ['cc', 'pp', 'cod'][1 + pick(7, o, 3)] as payment_type
from (select o, nth, (o * 7 + nth * 1013) % {products} as product, 1 + pick(5, o * 5 + nth, 4) + {more} as quantity
      from range({begin}, {end}) orders(o), range(0, 4) lines(nth)
      where nth < 1 + pick(8, o, 4) and {condition})
"""
_PAYMENTS = """
select 'X' || o as payment_id, 'O' || o as order_id,
       ['cc', 'Credit_Card', 'VISA', 'pp', 'PayPal', 'cod'][1 + pick(9, o, 6)] as payment_method,
       money(500 + pick(10, o, 90000)) as payment_amount, shown({day}, 0) as payment_date,
       ['completed', 'Paid', 'failed', 'completed'][1 + pick(11, o, 4)] as payment_status
from range({begin}, {end}) orders(o)
"""
_CUSTOMERS = """
select 'C' || c as customer_id, 'Person ' || c as customer_name, 'p' || c || '@example.org' as email,
       '+1 555 ' || c as phone, c || ' Mill Lane' as address,
       ['Springfield', 'Riverside', ''][1 + pick(12, c, 3)] as city, 'OH' as state, 10000 + c % 80000 as zip_code,
       17 + pick(13, c, 60) as age, strftime(date '2023-01-01' + pick(14, c, 365)::int, '%Y-%m-%d') as registration_date
from range({customers}) customers(c)
"""
_PRODUCTS = """
select 'P' || p as product_id, 'Thing ' || p as product_name,
       ['Home', 'Garden', 'Toys'][1 + pick(15, p, 3)] as category, '' as subcategory, 'Mill' as brand,
       money(price(p)) as price, money(price(p) * 6 // 10) as cost,
       'A thing.' as description
from range({products}) products(p)
"""


def make_shop(folder: Path, lines: int) -> None:
    """Write about ``lines`` order lines with their customers, products and payments, unless they are there.

    Below ``folder``: ``first`` has all files of the shop; ``changes`` has orders and payments that come later: one
    order in 100 changed, and one new day.
    """
    if (folder / "changes" / "payments_2.csv").exists():
        return
    for name in ("first", "changes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    orders = int(lines / LINES_OF_AN_ORDER)
    customers = max(10, orders // 20)
    day = f"(date '2024-01-01' + (o * {DAYS} // {orders})::int)"
    facts = {"customers": customers, "products": PRODUCTS, "day": day}
    first = _ORDERS.format(**facts, more=0, begin=0, end=orders, condition="true")
    copies = _ORDERS.format(**facts, more=0, begin=0, end=orders, condition="o % 100 = 7")
    later = orders + max(1, orders // DAYS)
    changed = _ORDERS.format(**facts, more=1, begin=0, end=orders, condition=f"o % {CHANGED} = 3")
    new = _ORDERS.format(**facts, more=0, begin=orders, end=later, condition="true")
    files = {
        "first/orders": f"{first} union all {copies}",
        "first/payments": _PAYMENTS.format(**facts, begin=0, end=orders),
        "first/customers": _CUSTOMERS.format(**facts),
        "first/products": _PRODUCTS.format(**facts),
        "changes/orders_2": f"{changed} union all {new}",
        "changes/payments_2": _PAYMENTS.format(**facts, begin=orders, end=later),
    }
    with duckdb.connect() as base:
        base.execute(_MACROS)
        for name, query in files.items():
            base.execute(f"copy ({query}) to '{folder / name}.csv' (header true)")
