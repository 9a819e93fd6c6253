"""Forks Spark's Python workers, as pyspark's own daemon does, from a process that has loaded what they share.

Spark starts it, on this machine and on executors (``spark.python.daemon.module``). It differs from pyspark's in two
ways, which saved a third of the session's processor time (docs/decisions/012, 041):

- Spark puts an archive of pyspark in front of the import path. Python keeps no compiled code of what it imports from an
  archive: every daemon and worker would compile pyspark anew. The installed package is the same, where the archive lies
  in it.
- NumPy, PyArrow and pyspark's worker are loaded once, before workers are forked, and are no garbage to look through
  after each task.
"""

import importlib.machinery
import os
import sys
from pathlib import Path

from pipeline.engines.workers import SHARED_LIBRARIES, load_modules
from pipeline.machine import PROJECT, SHIPPED

_ARCHIVES = ("pyspark.zip", "py4j-")
"""How the names of Spark's archives begin."""


def main() -> None:
    """Load what workers share, and serve until Spark closes the standard input."""
    sys.path[:] = without_archives(sys.path)
    load_modules((*SHARED_LIBRARIES, "pyspark.worker"))
    from pyspark.daemon import manager

    if (PROJECT / SHIPPED).is_dir():
        # On an executor: its own folder, which goes with it. The driver's folder, which Spark names, is not there.
        os.environ["PYTHON_WORKER_FACTORY_SOCK_DIR"] = "."
    # Whoever may connect to the socket may run anything as this user.
    usual = os.umask(0o077)
    os.register_at_fork(after_in_child=lambda: os.umask(usual))
    manager()


def without_archives(path: list[str]) -> list[str]:
    """The folders of an import path, without the archives of pyspark and of the py4j that it needs, if these belong to
    the pyspark that is installed in one of the folders: another one may be of another version."""
    folders = [entry for entry in path if not os.path.basename(entry).startswith(_ARCHIVES)]
    archives = [Path(entry) for entry in path if entry not in folders]
    installed = importlib.machinery.PathFinder.find_spec("pyspark", folders)
    if installed is None or installed.origin is None:
        return path
    home = Path(installed.origin).parent.resolve()
    return folders if all(home in archive.resolve().parents for archive in archives) else path


if __name__ == "__main__":
    main()
