"""Python, packages and geo table: what is fine, and what is not."""

import re
from datetime import date
from pathlib import Path

import psutil
import pytest

from pipeline.inspection.doctor.check import Check
from pipeline.inspection.doctor.installed import (
    OLDEST_PYTHON,
    check_delta,
    check_geo,
    check_packages,
    check_python,
    judge_age,
)
from tests.pipeline.inspection.doctor.conftest import Settings


@pytest.mark.parametrize(
    ("python", "status"), [((3, 10, 9), "fail"), ((3, 11, 0), "ok"), ((3, 13, 1), "ok"), ((4, 0, 0), "ok")]
)
def test_python_is_new_enough(python: tuple[int, ...], status: str) -> None:
    check = check_python(python)
    assert (check.name, check.status) == ("python", status)
    assert check.found.endswith(" " + ".".join(map(str, python)))
    assert (check.fix == "") == (status == "ok")


def test_this_python_and_these_packages_are_fit() -> None:
    assert OLDEST_PYTHON == (3, 11)
    assert check_python().status == "ok"
    assert check_packages().status == "ok"
    assert (check_delta().name, check_delta().status) == ("delta table", "ok")


@pytest.mark.parametrize(
    ("pins", "status", "found"),
    [
        (f"# pinned\npsutil=={psutil.__version__}  # reason\n", "ok", "1 packages as pinned"),
        ("psutil==0.0.1   # reason\n", "warn", f"psutil {psutil.__version__} (not 0.0.1)"),
        ("no-such-package-of-anyone==1.0\n", "fail", "no-such-package-of-anyone missing (not 1.0)"),
        ('no-such-package-of-anyone==1.0 ; python_version < "3.2"  # reason\n', "ok", "0 packages as pinned"),
        (
            'no-such-package-of-anyone==1.0 ; python_version < "4.0"\n',
            "fail",
            "no-such-package-of-anyone missing (not 1.0)",
        ),
        (
            "psutil==0.0.1\nno-such-package-of-anyone==1.0\n",
            "fail",
            f"psutil {psutil.__version__} (not 0.0.1), no-such-package-of-anyone missing (not 1.0)",
        ),
    ],
)
def test_packages_have_the_pinned_versions(pins: str, status: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(pins)
    check = check_packages(path)
    assert (check.status, check.found) == (status, found)
    assert re.fullmatch("" if status == "ok" else rf"Run: \S+ -m pip install -r {path}", check.fix)


def test_a_list_of_packages_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "none"
    message = f"{path} cannot be read: No such file or directory"
    assert check_packages(path) == Check("packages", "warn", message, "Restore it.")


def test_the_shipped_geo_table_loads_and_a_broken_database_does_not(settings: Settings, tmp_path: Path) -> None:
    assert "DB-IP" in check_geo(settings()).found
    broken = tmp_path / "x.mmdb"
    broken.write_bytes(b"no database")
    check = check_geo(settings(GEO_DATABASE=str(broken)))
    assert check.status == "fail"
    assert str(broken) in check.found
    assert "--geo-db" in check.fix


@pytest.mark.parametrize(
    ("build", "today", "status", "age"),
    [
        ("DB 2026-06", date(2026, 7, 1), "ok", "30 days old"),
        ("DB 2026-06-15", date(2026, 6, 15), "ok", "0 days old"),
        ("DB 2026-06-15", date(2027, 3, 12), "ok", "270 days old"),
        ("DB 2026-06-15", date(2027, 3, 13), "warn", "271 days old"),
        ("DB", date(2027, 6, 15), "warn", "of unknown age"),
    ],
)
def test_an_old_geo_table_is_a_warning(build: str, today: date, status: str, age: str) -> None:
    check = judge_age(build, today)
    assert (check.status, check.found) == (status, f"{build}, {age}")
    assert (check.fix == "") == (status == "ok")
