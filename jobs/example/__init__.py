"""Sales of a small shop by day and product: the template of `job new`."""

from pipeline.datasets import Job

from . import gold, silver, sources

job = Job(sources, silver, gold)
