"""A source of a job may have no rows: its file has only a header, or all its rows were rejected."""

import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.datasets.demo import make_demo
from pipeline.datasets.job import JOBS, Job, load_job
from pipeline.datasets.result import JobResult
from tests.pipeline.datasets.jobs_for_tests import run

NAMES = sorted(path.parent.name for path in JOBS.glob("*/__init__.py"))
_LINES = 40


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_sources_may_have_no_rows(name: str, tmp_path: Path) -> None:
    job = _make(name, tmp_path)
    (tmp_path / "source").rename(tmp_path / "whole")

    @settings(max_examples=3)
    @example(list(job.sources))
    @given(st.lists(st.sampled_from(list(job.sources)), min_size=1, unique=True))
    def holds(empty: list[str]) -> None:
        shutil.copytree(tmp_path / "whole", tmp_path / "source", dirs_exist_ok=True)
        _leave_headers(job, tmp_path / "source", empty)
        result = _run(job, tmp_path, output=tempfile.mkdtemp(dir=tmp_path) + "/output")
        assert result.status == "ok"
        assert {result.sources[source].rows for source in empty} == {0}

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_sources_lose_all_rows_between_runs(name: str, tmp_path: Path) -> None:
    job = _make(name, tmp_path)
    assert _run(job, tmp_path).status == "ok"
    _leave_headers(job, tmp_path / "source", [one for one, source in job.sources.items() if not source.snapshots])
    result = _run(job, tmp_path)
    assert result.status == "ok"
    assert {found.rows for name, found in result.sources.items() if not job.sources[name].snapshots} <= {0}


def _make(name: str, folder: Path) -> Job:
    """The job, with the first lines of its demo data as the source."""
    job = load_job(str(JOBS / name))
    make_demo(job, folder / "source")
    for file in (folder / "source").glob("*.csv"):
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:_LINES]))
    return job


def _leave_headers(job: Job, folder: Path, sources: Iterable[str]) -> None:
    for source in sources:
        for file in folder.glob(job.sources[source].path):
            file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])


def _run(job: Job, folder: Path, **options: str) -> JobResult:
    return run(job, folder, as_of=datetime(2026, 6, 1), **options)
