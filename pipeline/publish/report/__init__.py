"""The run report: ``report.html`` beside the data of every version, one file that needs no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.page import Earlier, render
from pipeline.publish.report.samples import find_samples
from pipeline.versions.catalog import kept_versions
from pipeline.versions.folders import REPORT


def write_report(folder: Path, record: Mapping[str, Any], observed: Observed, output_dir: str) -> None:
    """Write the report of the run whose result lies in ``folder``; ``record`` is what its ``run.json`` holds."""
    samples = find_samples(folder / "quarantine" / "rejected.parquet", record["rejected_by_reason"])
    page = render(record, observed, samples, _earlier(output_dir))
    (folder / REPORT).write_text(page, encoding="utf-8", errors="backslashreplace")


def _earlier(output_dir: str) -> Earlier:
    """The kept runs before this one, or why they cannot be compared: a damaged record must not stop a new run."""
    try:
        return Earlier([version.record for version in kept_versions(output_dir)])
    except InputError as fault:
        return Earlier([], str(fault))
