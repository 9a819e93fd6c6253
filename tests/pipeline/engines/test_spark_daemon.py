"""What forks Spark's Python workers: the installed pyspark, loaded once, by a process with one thread."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from pipeline.engines.spark_daemon import without_archives
from pipeline.engines.workers import WORKER_ENVIRONMENT
from pipeline.machine import PROJECT

LIBRARIES = Path(pyspark.__file__).parent / "python" / "lib"


ARCHIVES = [str(path) for path in sorted(LIBRARIES.glob("*.zip"))]
INSTALLED = str(Path(pyspark.__file__).parents[1])


def test_archives_of_the_installed_pyspark_leave_the_import_path() -> None:
    assert without_archives(["", *ARCHIVES, "/own.zip", INSTALLED]) == ["", "/own.zip", INSTALLED]


@pytest.mark.parametrize("rest", [[INSTALLED], ["/nothing"]], ids=["another one is installed", "none is installed"])
def test_archives_of_another_pyspark_stay(rest: list[str]) -> None:
    path = ["/opt/spark/python/lib/pyspark.zip", "/opt/spark/python/lib/py4j-0.10.9.9-src.zip", *rest]
    assert without_archives(path) == path


@pytest.mark.slow
def test_the_daemon_has_one_thread_and_the_installed_pyspark(tmp_path: Path) -> None:
    assert len(ARCHIVES) == 2, "Spark puts both in front of the path"
    environment = {
        **os.environ,
        **WORKER_ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join([*ARCHIVES, str(PROJECT)]),
        "PYTHONVERBOSE": "1",
    }
    command = [sys.executable, "-m", "pipeline.engines.spark_daemon", "pyspark.worker"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as daemon,
    ):
        assert daemon.stdin
        assert daemon.stdout
        (port,) = struct.unpack(">i", daemon.stdout.read(4))
        threads = os.listdir(f"/proc/{daemon.pid}/task")
        loaded = Path(f"/proc/{daemon.pid}/maps").read_text()
        daemon.stdin.close()  # tells it to end
    assert 0 < port < 65536
    assert len(threads) == 1
    assert "polars" not in loaded, "it starts threads"
    assert "libparquet" in loaded
    loaders = [
        line
        for line in (tmp_path / "log").read_text().splitlines()
        if line.startswith(("import 'pyspark", "import 'py4j"))
    ]
    assert any("pyspark.worker" in line for line in loaders)
    assert not [line for line in loaders if "zipimporter" in line], "they are installed beside the archives"
