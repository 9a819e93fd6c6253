"""Star schema of an online shop: sales and payments by customer, product and day."""

from pipeline.datasets import Job

from . import gold, silver, sources, star

job = Job(
    sources,
    silver,
    star,
    gold,
    settings={
        "missing_price": "quarantine",  # or fill_median: the median price of the product
        "fiscal_start": 1,  # the month in which a fiscal year begins
        "vip_cents": 100_000,
        "regular_cents": 20_000,
        "premium_cents": 10_000,
        "mid_cents": 2_000,
        "max_null_share": 0.05,
        "max_orphan_share": 0.05,
    },
)
