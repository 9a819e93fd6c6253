"""The report of a run: ``report.html`` beside the data of its version, one file that needs no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.machine import writing
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.page import render
from pipeline.publish.report.run_sections import Earlier
from pipeline.publish.report.samples import find_samples
from pipeline.versions.catalog import kept_versions
from pipeline.versions.folders import REPORT


def write_report(folder: Path, record: Mapping[str, Any], observed: Observed, output_dir: str) -> None:
    """Write ``report.html`` of the run whose version or quarantine lies in ``folder``.

    ``record``: what ``run.json`` holds; ``output_dir``: where the versions of earlier runs are found.
    """
    samples = find_samples(folder / "quarantine" / "rejected.parquet", record["rejected_by_reason"])
    page = render(record, observed, samples, _earlier(output_dir))
    with writing(folder / REPORT):
        (folder / REPORT).write_text(page, encoding="utf-8", errors="backslashreplace")


def _earlier(output_dir: str) -> Earlier:
    """The runs whose versions are kept. A record that cannot be read is a fault on the page; it stops no run."""
    try:
        return Earlier([version.record for version in kept_versions(output_dir)])
    except InputError as fault:
        return Earlier([], str(fault))
