"""Forks Spark's Python workers, as pyspark's own daemon does, from a process that has loaded what they share.

Spark starts it for a session on this machine (``spark.python.daemon.module``). It differs from pyspark's in two ways,
which saved a third of the session's processor time (docs/decisions/012):

- Spark puts an archive of pyspark in front of the import path. Python keeps no compiled code of what it imports from an
  archive: every daemon and worker would compile pyspark anew. The installed package is the same.
- NumPy, PyArrow and pyspark's worker are loaded once, before workers are forked, and are no garbage to look through
  after each task.
"""

import os
import sys

from pipeline.engines.workers import SHARED_LIBRARIES, load_modules

_ARCHIVES = ("pyspark.zip", "py4j-")
"""How the names of Spark's archives begin."""


def main() -> None:
    """Load what workers share, and serve until Spark closes the standard input."""
    sys.path[:] = without_archives(sys.path)
    load_modules((*SHARED_LIBRARIES, "pyspark.worker"))
    from pyspark.daemon import manager

    manager()


def without_archives(path: list[str]) -> list[str]:
    """The folders of an import path, without the archives of pyspark and of the py4j that it needs."""
    return [entry for entry in path if not os.path.basename(entry).startswith(_ARCHIVES)]


if __name__ == "__main__":
    main()
