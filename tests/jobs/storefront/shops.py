"""Dirty shops by chance: late and repeated rows, ties, unknown members, missing and wrong values, currencies."""

import csv
import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.job import JOBS, Job, load_job
from pipeline.datasets.result import JobResult
from tests.pipeline.datasets import jobs_for_tests

START = dt.datetime(2026, 3, 6)
CLEAR = {"name": "keep", "email": "keep", "phone": "keep"}
"""Personal data as it was read, so that plain SQL can compare it."""
_PRICES = ("9.99", "0.0050", "10.0050", "0.3333", "1234.5", "7", "0", "19.9")


def storefront() -> Job:
    """The job."""
    return load_job(str(JOBS / "storefront"))


def run(folder: Path, **options: Any) -> JobResult:
    """Run the job over ``folder/source`` into ``folder/output``, with clear personal data."""
    return jobs_for_tests.run(storefront(), folder, personal=CLEAR, **options)


def write(folder: Path, table: str, header: str, rows: Sequence[Sequence[object]]) -> None:
    """Write a table of the shop; None is an empty field."""
    folder.mkdir(exist_ok=True)
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])


def write_shop(folder: Path, seed: int, orders: int = 200) -> None:
    """Write all tables of a shop into ``folder``."""
    dice = random.Random(seed)

    def pick(*values: object) -> Any:
        return dice.choice(values)

    def changed() -> str:
        """One of few moments, so that rows tie, in one of several notations."""
        moment = START + dt.timedelta(days=dice.randrange(4))
        return str(
            pick(f"{moment}+00", f"{moment.isoformat()}Z", f"{moment + dt.timedelta(hours=5, minutes=30)}+05:30")
        )

    def moment() -> str:
        """Minutes of four days in which the clocks of New York go forward."""
        return f"{START + dt.timedelta(minutes=15 * dice.randrange(4 * 96), seconds=pick(0, 0, 1))}+00"

    write(folder, "app_user", "user_id,user_name,email,phone,country,is_active,updated_at", [
        (dice.randrange(8), pick("Ann", "Bo", None), pick("a@x", "b@x"), None, pick("US", "DE"), pick("t", "f"),
         changed())
        for _ in range(20)
    ])  # fmt: skip
    write(folder, "buyer", "buyer_id,user_id,tier,updated_at", [
        (dice.randrange(6), pick(0, 1, 2, 3, 77, None), pick("basic", "gold"), changed()) for _ in range(12)
    ])  # fmt: skip
    write(folder, "seller", "seller_id,user_id,seller_name,updated_at", [
        (dice.randrange(4), pick(0, 1, 4, None), pick("Mill", "Forge"), changed()) for _ in range(8)
    ])  # fmt: skip
    write(folder, "category", "category_id,category_name,parent_id,updated_at", [
        (dice.randrange(7), pick("Home", "Garden", "Toys", None), pick(0, 1, 55, None), changed()) for _ in range(14)
    ])  # fmt: skip
    for kind in ("brand", "manufacturer"):
        names = [(dice.randrange(3), pick("Alpha", "Beta", None), changed()) for _ in range(6)]
        write(folder, kind, f"{kind}_id,{kind}_name,updated_at", names)
    write(folder, "product", "product_id,product_name,brand_id,manufacturer_id,price,is_active,updated_at", [
        (dice.randrange(12), pick("Saw", "Cup"), pick(0, 1, 9, None), pick(0, 2, None), pick(*_PRICES), "t", changed())
        for _ in range(18)
    ])  # fmt: skip
    links = [(dice.randrange(14), dice.randrange(9), changed()) for _ in range(30)]
    write(folder, "product_category", "product_id,category_id,updated_at", links)
    offers = [(dice.randrange(4), dice.randrange(9), pick(0, 5, None), changed()) for _ in range(20)]
    write(folder, "seller_product", "seller_id,product_id,stock_quantity,updated_at", offers)
    ratings = [(dice.randrange(25), dice.randrange(13), pick(1, 2, 5, 5, 0, 6), changed()) for _ in range(40)]
    write(folder, "ratings", "rating_id,product_id,score,updated_at", ratings)
    write(folder, "orders", "order_id,buyer_id,ordered_at,status,currency,total_price,updated_at", [
        (
            dice.randrange(orders), pick(0, 1, 2, 5, 44, None), moment(),
            pick("paid", " CANCELLED", "cancelled", "shipped", None), pick("USD", "eur", "JPY", "KWD", "XTS", None),
            pick(*_PRICES, "much"), pick(changed(), changed(), changed(), None),
        )
        for _ in range(orders * 3 // 2)
    ])  # fmt: skip
    items = [
        (
            dice.randrange(orders * 2), dice.randrange(orders + 5), pick(*range(13), None), pick(0, 1, 2, 3, 9, None),
            pick(1, 2, 3, 25, 0, -1), pick(*_PRICES, "-1"), pick("0", "0.0050", "0.99", "0.07"), changed(),
        )
        for _ in range(orders * 3)
    ]  # fmt: skip
    lines = "order_item_id,order_id,product_id,seller_id,quantity,base_price,tax,updated_at"
    write(folder, "order_item", lines, [*items, *items[:20]])
    kinds = ("view", "impression", "add_to_cart", "checkout", "purchase", "hover")
    clicks = [
        (number, changed(), f"e{dice.randrange(150)}", moment(), pick(*kinds), pick(0, 1, 2, None), pick(1, 2, None),
         pick(3, None))
        for number in dice.sample(range(999), 220)
    ]  # fmt: skip
    events = "click_id,received_at,event_id,event_at,event_type,user_id,product_id,order_id"
    write(folder, "clickstream", events, [*clicks, *clicks[:30]])
    write(folder, "exchange_rate", "currency,valid_from,rate", [
        (pick("EUR", "JPY", "KWD", "USD"), (START + dt.timedelta(days=dice.randrange(-3, 4))).date(),
         pick("1.081234567", "0.0067", "3.25", "1"))
        for _ in range(14)
    ])  # fmt: skip
