"""Settings of all tests: properties try the same examples on every run; HYPOTHESIS_PROFILE=explore tries new ones."""

import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.left_out import explain
from tests.pace import patient

if TYPE_CHECKING:
    from tests.isolated_cluster import IsolatedCluster
    from tests.result_readers import SparkReader

# Otherwise each program that a test starts compiles all modules again, which takes longer than most runs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

os.environ["container"] = ""  # noqa: SIM112 - the suite may run in one, whose folders no volume keeps: runs would say so

with mock.patch.dict(os.environ, POLARS_MAX_THREADS="1"):  # as in a worker of the program; not in what tests start
    import polars

assert polars.thread_pool_size() == 1

for ignored in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
    # nohup ignores the first one, a shell the others in what it starts with &, and programs that tests start inherit
    # that. They do not inherit a function: each signal ends them as usual.
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.default_int_handler if ignored == signal.SIGINT else lambda *_: None)

_IN_MEMORY, _ROOM = "/dev/shm", 6 << 30
if (
    os.access(_IN_MEMORY, os.W_OK)
    and min(psutil.virtual_memory().available, shutil.disk_usage(_IN_MEMORY).free) >= _ROOM
):  # temporary folders lie in memory: on a disk, every run waits until each of its files is there
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _IN_MEMORY)

sys._xoptions["logmill"] = "./logmill"  # what messages name, whoever started the tests

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET)
settings.register_profile("explore", deadline=None, max_examples=500, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_SHOWN_BYTES = 12
_ROOT = Path(__file__).parents[1]
_SLOW = ("tests/end_to_end/", "tests/pollution/", "tests/properties/", "tests/pipeline/engines/test_spark.py")
"""Besides these, tests that take more than two seconds of a processor have the mark themselves."""
_LONGEST = ("tests/properties/", "tests/pollution/")
"""Here single tests take up to a minute."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long bytes are named by their length: compressed ones may hold the time, and workers must collect the same."""
    if isinstance(val, bytes) and len(val) > _SHOWN_BYTES:
        return f"{argname} of {len(val):,} bytes"
    return None


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkReader]":
    """One Spark session for all tests that read results by Spark: its start takes longer than their reads."""
    from tests.result_readers import open_spark

    with open_spark() as reader:
        yield reader


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[IsolatedCluster]":
    """One Spark cluster for all tests that need one: it takes half a minute to start."""
    from tests.isolated_cluster import open_cluster

    with open_cluster(tmp_path_factory.mktemp("cluster")) as opened:
        yield opened


@pytest.hookimpl(tryfirst=True)  # before the tests are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole programs and properties are slow. The time limit of each test follows the pace of the machine, unless
    --timeout says otherwise.

    The slowest begin: where one of them came last, the other workers would wait for it.
    """

    def place(item: pytest.Item) -> tuple[bool, bool]:
        longest = os.path.relpath(item.path, _ROOT).startswith(_LONGEST)
        return not longest, not item.get_closest_marker("slow")

    for item in items:
        if os.path.relpath(item.path, _ROOT).startswith(_SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=place)
    if config.option.collectonly or config.getoption("timeout") is not None:
        return
    limit = patient(float(config.getini("timeout")))
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(limit))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """What was left out comes last, under the list of all tests that did not pass."""
    yield
    skipped = (report.longrepr for report in terminalreporter.stats.get("skipped", []))
    for line in explain(place[2] for place in skipped if isinstance(place, tuple)):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, for all tests that need one."""
    from tests.database_servers import postgres_server

    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """The URL of a MariaDB server, for all tests that need one."""
    from tests.database_servers import MARIADB, mariadb_server
    from tests.storage_servers import free_ports

    if MARIADB is None:
        pytest.skip("no MariaDB on this machine")
    with mariadb_server(*free_ports(1)) as url:
        yield url


@pytest.fixture(scope="session")
def s3_in_memory() -> Iterator[str]:
    """The address of an S3 server in this process, for all tests."""
    from tests.storage_servers import memory_server

    with memory_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_in_memory: str) -> Iterator[str]:
    """The URL of an empty bucket, which the program finds while the test runs."""
    from tests.storage_servers import empty_bucket, found_at

    with found_at(s3_in_memory):
        yield empty_bucket(s3_in_memory)
