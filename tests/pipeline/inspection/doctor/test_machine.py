"""Cores, memory and open files: from which figure on each is a warning or a failure."""

import pytest

from pipeline.inspection.doctor.machine import check_cores, check_memory, check_open_files
from tests.pipeline.inspection.doctor.conftest import Settings
from utils.metrics import usable_cores
from utils.units import format_count

GB = 10**9


@pytest.mark.parametrize(
    ("available", "total", "status"),
    [(9, 9, "ok"), (4, 9, "ok"), (3, 9, "warn"), (3, 4, "warn"), (3, 3, "fail")],
)
def test_the_memory_limit_fits_what_the_machine_has(
    available: int, total: int, status: str, settings: Settings
) -> None:
    check = check_memory(settings(MEMORY_LIMIT=4 * GB), available * GB, total * GB)
    assert check.status == status
    assert check.found.startswith(f"limit 4 GB, total {total} GB (limited by a control group), free {available} GB")
    assert (check.fix == "") == (status == "ok")


def test_the_remedy_names_a_limit_that_fits(settings: Settings) -> None:
    check = check_memory(settings(MEMORY_LIMIT=4 * GB), 1 * GB, 3 * GB)
    assert check.fix == "Set --memory-limit to at most 2.4 GB."


def test_the_memory_of_this_machine_is_found(settings: Settings) -> None:
    assert check_memory(settings(MEMORY_LIMIT=10**15)).status == "fail"


@pytest.mark.parametrize(
    ("limit", "status"), [(65536, "ok"), (1024, "ok"), (1023, "warn"), (256, "warn"), (255, "fail")]
)
def test_open_files(limit: int, status: str) -> None:
    check = check_open_files(limit)
    assert (check.status, check.found) == (status, f"{limit:,}")
    assert ("ulimit -n 65536" in check.fix) == (status != "ok")


def test_the_limit_of_open_files_of_this_process_is_found() -> None:
    assert check_open_files().found


@pytest.mark.parametrize(("more", "status"), [(0, "ok"), (1, "warn")])
def test_no_more_workers_than_cores(more: int, status: str, settings: Settings) -> None:
    cores = usable_cores()
    check = check_cores(settings(PREPROCESSING_WORKERS=cores + more))
    found = f"{format_count(cores + more, 'worker')}, {format_count(cores, 'usable core')}"
    assert (check.status, check.found) == (status, found)
    assert check.fix == (f"Set --workers to {cores}: more only take memory." if more else "")
