"""Each check of ``doctor``: what is fine, what is not, and that it leaves nothing behind."""

import gc
import os
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil
import pytest

from config import Config
from pipeline.engines.java import Java, find_java
from pipeline.inspection.doctor import examine, java_and_spark, places
from pipeline.inspection.doctor.java_and_spark import check_java, check_spark_start
from pipeline.inspection.doctor.machine import check_cores, check_memory, check_open_files, check_packages, check_python
from pipeline.inspection.doctor.places import check_input_and_intermediate, check_output
from pipeline.inspection.doctor.tables import check_geo, judge_age


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    def settings(**changed: object) -> Config:
        names = {"INPUT_DIR": "in", "INTERMEDIATE_DIR": "between", "OUTPUT_DIR": "out"}
        return Config(**({name: str(tmp_path / folder) for name, folder in names.items()} | changed))

    monkeypatch.setattr(places, "SLOW_BYTES_PER_SECOND", 1e3)  # other tests keep the disk busy
    return settings


def test_python_and_packages(tmp_path: Path) -> None:
    assert check_python().status == "ok"
    assert check_python((3, 10, 9)).status == "fail"
    assert check_packages().status == "ok"
    pins = tmp_path / "requirements.txt"
    pins.write_text("# x\npsutil==0.0.1   # reason\n")
    assert (check_packages(pins).status, "psutil" in check_packages(pins).found) == ("warn", True)
    pins.write_text("no-such-package-of-anyone==1.0\n")
    assert check_packages(pins).status == "fail"
    assert check_packages(tmp_path / "none").status == "warn"


@pytest.mark.parametrize(("available", "total", "status"), [(9, 9, "ok"), (3, 9, "warn"), (3, 3, "fail")])
def test_memory(available: int, total: int, status: str, settings) -> None:
    check = check_memory(settings(MEMORY_LIMIT=4 * 10**9), available * 10**9, total * 10**9)
    assert check.status == status
    assert (check.fix == "") == (status == "ok")


@pytest.mark.parametrize(("limit", "status"), [(65536, "ok"), (1024, "ok"), (1023, "warn"), (255, "fail")])
def test_open_files(limit: int, status: str) -> None:
    assert check_open_files(limit).status == status


def test_cores(settings) -> None:
    assert check_cores(settings(PREPROCESSING_WORKERS=1)).status == "ok"
    assert check_cores(settings(PREPROCESSING_WORKERS=256)).status == "warn"


def test_room_follows_from_the_input(settings, tmp_path: Path) -> None:
    assert [check.status for check in check_input_and_intermediate(settings())][:2] == ["warn", "ok"]
    (tmp_path / "in").mkdir()
    log = tmp_path / "in" / "a.csv"
    log.touch()
    os.truncate(log, 4 * 10**12)  # a hole: it takes no room
    source, room, speed = check_input_and_intermediate(settings())
    assert (source.status, room.status, speed.status) == ("ok", "fail", "ok")
    assert "2.40 TB needed" in room.found


def test_the_outputs_place(settings, tmp_path: Path) -> None:
    assert {check.status for check in check_output(settings())} == {"ok"}
    (tmp_path / "out").mkdir()
    link, *_ = check_output(settings())
    assert link.status == "fail"
    assert "Logmill did not make" in link.found


def test_a_place_that_cannot_be_written(settings) -> None:
    link, _, speed = check_output(settings(OUTPUT_DIR="/proc/logmill"))
    assert (link.status, speed.status) == ("fail", "fail")
    assert "cannot make a link in /proc" in link.found


def test_a_slow_disk_is_a_warning(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SLOW_BYTES_PER_SECOND", 1e15)
    assert [check.status for check in check_output(settings())] == ["ok", "ok", "warn"]


def test_geo_data(settings, tmp_path: Path) -> None:
    assert "DB-IP" in check_geo(settings()).found
    broken = tmp_path / "x.mmdb"
    broken.write_bytes(b"no database")
    assert check_geo(settings(GEO_DATABASE=str(broken))).status == "fail"
    assert judge_age("DB 2026-06", date(2026, 7, 1)).found == "DB 2026-06, 30 days old"
    assert judge_age("DB 2026-06-15", date(2027, 6, 15)).status == "warn"
    assert judge_age("DB", date(2027, 6, 15)).status == "warn"


@pytest.mark.parametrize(
    ("engine", "problem", "status"),
    [("auto", None, "ok"), ("auto", "no Java", "warn"), ("spark", "no Java", "fail"), ("polars", "no Java", "ok")],
)
def test_java_matters_only_to_spark(engine: str, problem: str | None, status: str, settings) -> None:
    assert check_java(settings(ENGINE=engine), Java("/java", "Java 17", problem)).status == status


def test_an_examination_leaves_nothing_behind(settings, tmp_path: Path) -> None:
    checks = list(examine(settings(), spark=False))
    assert "spark" not in {check.name for check in checks}
    assert all(check.fix for check in checks if check.status != "ok")
    assert list(tmp_path.iterdir()) == []


def test_a_spark_that_starts_after_the_limit_is_late(settings, monkeypatch) -> None:
    """On a busy machine it is launched after its children were looked for."""
    told = []

    class Late:
        def __init__(self, *_: object) -> None: ...

        def start(self) -> "Late":
            deadline.wait()
            return self

        parallelize = map = lambda self, *_: self

        def sum(self) -> int:
            return 1

        def stop(self, *, at_once: bool) -> None:
            told.append(at_once)

    deadline = threading.Event()
    monkeypatch.setattr(java_and_spark, "SparkDriver", Late)
    monkeypatch.setattr(java_and_spark, "_end_children", lambda **_: deadline.set())
    late = check_spark_start(settings(PREPROCESSING_WORKERS=1), limit=0.01)
    assert (late.status, told) == ("fail", [True])
    assert "within 0.01 s" in late.found


@pytest.mark.slow
# pyspark leaves the pipe to a JVM that ended while it was launched.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_spark_starts_and_ends_within_the_limit(settings, tmp_path: Path) -> None:
    if find_java().problem:
        pytest.skip("this machine has no Java for Spark")
    config = settings(PREPROCESSING_WORKERS=1)
    before = set(psutil.Process().children(recursive=True))
    check = check_spark_start(config)
    assert (check.status, check.fix != "") == ("ok", False), check
    late = check_spark_start(config, limit=0.2)
    assert late.status == "fail"
    assert "within 0.20 s" in late.found
    gc.collect()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert list(tmp_path.iterdir()) == []
