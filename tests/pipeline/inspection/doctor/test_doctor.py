"""All checks in turn."""

from pathlib import Path

import pytest

from pipeline.inspection import doctor
from pipeline.inspection.doctor import Check, examine
from tests.pipeline.inspection.doctor.conftest import Settings

NAMES = [
    "python", "packages", "cores", "memory", "open files", "processes", "shared memory",
    "input", "intermediate room", "intermediate speed",
    "output link", "output room", "output speed",
    "geo data", "java",
]  # fmt: skip


def test_an_examination_leaves_nothing_behind(settings: Settings, tmp_path: Path) -> None:
    checks = list(examine(settings(), spark=False))
    assert [check.name for check in checks] == NAMES
    assert all((check.fix == "") == (check.status == "ok") for check in checks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("engine", "java", "spark", "starts"),
    [
        ("auto", "ok", True, True),
        ("auto", "ok", False, False),
        ("auto", "warn", True, False),
        ("polars", "ok", True, False),
    ],
)
def test_spark_is_started_only_where_a_run_would(
    engine: str, java: str, spark: bool, starts: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "check_java", lambda _: Check("java", java, ""))
    monkeypatch.setattr(doctor, "check_spark_start", lambda _: Check("spark", "ok", ""))
    names = [check.name for check in examine(settings(ENGINE=engine), spark=spark)]
    assert names == [*NAMES, *(["spark"] if starts else [])]
