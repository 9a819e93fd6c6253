"""Which invoices will be paid late: features known on the day of issue, ageing, days sales outstanding."""

from pipeline.datasets import Job

from . import amounts, cleaned, gold, receivables, silver, sources

SETTINGS: dict[str, str | int | float | bool] = {"terms_days": 30, "validation_from": ""}
"""``terms_days``: days to pay of an invoice without a due date. ``validation_from``: first day of issue (ISO) of the
invoices that a model is validated on; empty: invoices are not split."""

job = Job(sources, cleaned, amounts, silver, gold, receivables, settings=SETTINGS)
